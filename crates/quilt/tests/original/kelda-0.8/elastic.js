// A cluster that looks like Elasticsearch, with Kibana before it.
const { Container, Infrastructure, LoadBalancer, Machine, allow, publicInternet } = require('kelda');

class Elasticsearch {
  constructor(count) {
    this.port = 9200;
    this.nodes = [];
    for (let i = 0; i < count; i += 1) this.nodes.push(new Container('elastic', 'elasticsearch:2.4'));
    const hosts = this.nodes.map((node) => node.getHostname()).join(',');
    this.nodes.forEach((node) => {
      node.command = ['elasticsearch', `--discovery.zen.ping.unicast.hosts=${hosts}`];
    });
    this.balancer = new LoadBalancer('elastic-lb', this.nodes);
    allow(this.nodes, this.nodes, 9300);
  }

  allowFrom(source) {
    allow(source, this.nodes, this.port);
    this.balancer.allowFrom(source, this.port);
  }

  deploy(infrastructure) {
    this.nodes.forEach((node) => node.deploy(infrastructure));
    this.balancer.deploy(infrastructure);
  }
}

const elastic = new Elasticsearch(4);
const kibana = new Container('kibana', 'kibana:4', { env: { ELASTIC: elastic.balancer.hostname() } });
elastic.allowFrom(kibana);
allow(publicInternet, kibana, 5601);
const machine = new Machine({ provider: 'Amazon', size: 'm4.large' });
const infrastructure = new Infrastructure(machine, machine.replicate(4), { namespace: 'search' });
elastic.deploy(infrastructure);
kibana.deploy(infrastructure);
