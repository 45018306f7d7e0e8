// Elasticsearch, Logstash and Kibana in the words of Kelda 0.8: positional arguments, classes over Container.
const {
  Container, Infrastructure, LoadBalancer, Machine, PortRange, allow, publicInternet,
} = require('kelda');

const machine = new Machine({ provider: 'Amazon', size: 'm4.large' });
const infrastructure = new Infrastructure(machine, machine.replicate(2), { namespace: 'kelda-elastic' });

class Elasticsearch {
  constructor(count) {
    this.nodes = [];
    for (let i = 0; i < count; i += 1) {
      this.nodes.push(new Container('elasticsearch', 'host', { command: ['weft', 'tool', 'web', '--listen', '9200'] }));
    }
    this.balancer = new LoadBalancer('search', this.nodes);
    allow(this.nodes, this.nodes, new PortRange(9300, 9399));
  }

  allowFrom(sources, port) {
    allow(sources, [this.balancer, ...this.nodes], port);
  }

  getConnectableName() {
    return this.balancer.getConnectableName();
  }

  deploy(where) {
    [this.balancer, ...this.nodes].forEach((one) => one.deploy(where));
  }
}

const search = new Elasticsearch(4);
const kibana = new Container('kibana', 'host', {
  command: ['weft', 'tool', 'web', '--listen', '5601'], env: { ELASTICSEARCH_URL: `http://${search.balancer.hostname()}:9200` },
});
const logstash = new Container('logstash', 'host', { command: ['sleep', '1000'] });
const beat = new Container('beat', 'host', { command: ['sleep', '1000'] });

search.allowFrom([kibana, logstash], 9200);
allow(beat, logstash, 5044);
allow(publicInternet, kibana, 5601);

[search, kibana, logstash, beat].forEach((one) => one.deploy(infrastructure));
