// Spark in the words of Quilt: services of containers, policy between labels.
const {
  Container, Machine, PortRange, Service, createDeployment, publicInternet,
} = require('@quilt/quilt');

const deployment = createDeployment({ namespace: 'quilt-spark' });
const machine = new Machine({ provider: 'Amazon', size: 'm4.large' });
deployment.deploy([machine.asMaster()].concat(machine.asWorker().replicate(2)));

const run = (port) => new Container('host', ['weft', 'tool', 'web', '--listen', `${port}`]);
const keepers = new Service('zookeeper', new Container('host', ['sleep', '1000']).replicate(3));
const masters = new Service('spark-ms', run(7077).replicate(2));
const workers = new Service('spark-wk', run(8081).replicate(5));
const driver = new Service('driver', [new Container('host', ['sleep', '1000'])]);

keepers.allowFrom(keepers, new PortRange(2888, 3888));
keepers.allowFrom(masters, 2181);
masters.allowFrom(masters, new PortRange(1000, 1009));
masters.allowFrom(workers, 7077);
masters.allowFrom(driver, 7077);
workers.allowFrom(masters, 8081);
workers.allowFrom(workers, new PortRange(30000, 45000));
driver.connect(new PortRange(30000, 45000), workers);
masters.allowFrom(publicInternet, 8080);

deployment.deploy([keepers, masters, workers, driver]);
deployment.assert(publicInternet.canReach(masters), true);
deployment.assert(workers.neighborOf(keepers), false);
