// A cluster that looks like Spark: a master, workers, and what a driver needs.
const { Container, Infrastructure, LoadBalancer, Machine, PortRange, Range, Secret, allowTraffic, publicInternet } = require('kelda');

class Spark {
  constructor(count, { memory = '2g' } = {}) {
    const env = { JAVA_OPTS: `-Xmx${memory}`, AWS_SECRET_ACCESS_KEY: new Secret('aws-key') };
    this.master = new Container({ name: 'spark-ms', image: 'spark', command: ['run', 'master'], env });
    this.workers = [];
    for (let i = 0; i < count; i += 1) {
      this.workers.push(new Container({
        name: 'spark-wk',
        image: 'spark',
        command: ['run', 'worker'],
        env: Object.assign({ MASTER: `spark://${this.master.getHostname()}:7077` }, env),
        filepathToContent: { '/etc/spark/slot': `${i}` },
      }));
    }
    allowTraffic(this.workers, this.master, 7077);
    allowTraffic([this.master, ...this.workers], this.workers, new PortRange(1000, 65535));
    this.web = new LoadBalancer({ name: 'spark-ui', containers: this.workers });
    allowTraffic(publicInternet, this.web, 8081);
  }

  deploy(infrastructure) {
    [this.web, this.master, ...this.workers].forEach((one) => one.deploy(infrastructure));
  }
}

const infrastructure = new Infrastructure({
  masters: new Machine({ provider: 'Amazon', cpu: 2 }),
  workers: new Machine({ provider: 'Amazon', ram: new Range(8), preemptible: true }).replicate(3),
  namespace: 'spark',
});
new Spark(8).deploy(infrastructure);
