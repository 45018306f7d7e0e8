// Kafka in the words of Kelda 0.13: containers that know each other by host name, a load balancer, a volume.
const {
  Container, Infrastructure, LoadBalancer, Machine, PortRange, Volume, VolumeMount, allowTraffic, publicInternet,
} = require('kelda');

const machine = new Machine({ provider: 'Amazon', cpu: 2, ram: 8 });
const infrastructure = new Infrastructure({ masters: machine, workers: machine.replicate(3), namespace: 'kelda-kafka' });

const many = (count, make) => Array.from({ length: count }, (_, at) => make(at));
const logs = new Volume({ name: 'logs', type: 'hostPath', path: '/var/log' });
const keepers = many(3, () => new Container({ name: 'zookeeper', image: 'host', command: ['sleep', '1000'] }));
const zookeeper = keepers.map((one) => `${one.getHostname()}:2181`).join(',');
const brokers = many(3, (at) => new Container({
  name: 'kafka',
  image: 'host',
  command: ['weft', 'tool', 'web', '--listen', '9092'],
  env: { KAFKA_BROKER_ID: `${at}`, KAFKA_ZOOKEEPER_CONNECT: zookeeper },
  volumeMounts: [new VolumeMount({ volume: logs, mountPath: '/host-logs' })],
}));
const producers = many(2, () => new Container({ name: 'producer', image: 'host', command: ['sleep', '1000'] }));
const rest = many(2, () => new Container({ name: 'rest', image: 'host', command: ['weft', 'tool', 'web', '--listen', '8082'] }));
const front = new LoadBalancer({ name: 'rest-front', containers: rest });

allowTraffic(keepers, keepers, new PortRange(2888, 3888));
allowTraffic(brokers, keepers, 2181);
allowTraffic(brokers, brokers, 9092);
allowTraffic(producers.concat(rest), brokers, 9092);
allowTraffic(producers, front, 8082);
allowTraffic(publicInternet, front, 8082);

[...keepers, ...brokers, ...producers, ...rest, front].forEach((one) => one.deploy(infrastructure));
