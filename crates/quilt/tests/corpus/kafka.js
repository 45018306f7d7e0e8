// Kafka-shaped: ZooKeepers and brokers that know each other by name.
import { Container, allow, expect } from 'weft';

const keeper = new Container('zk', {
  command: ['sleep', 1000], replicas: 3, env: { ZOO_SERVERS: 'zk-1:2888:3888 zk-2:2888:3888 zk-3:2888:3888' },
});
const broker = new Container('kafka', {
  command: ['weft', 'tool', 'web', '--listen', 9092], replicas: 3, env: { ZOOKEEPER: 'zk-1:2181,zk-2:2181,zk-3:2181' },
});
const producer = new Container('producer', { command: ['sleep', 1000], replicas: 4 });
const consumer = new Container('consumer', { command: ['sleep', 1000], replicas: 4 });
for (const port of [2888, 3888]) allow(keeper, keeper, port, 'tcp');
allow(broker, keeper, 2181, 'tcp');
allow(broker, broker, 9092, 'tcp');
allow([producer, consumer], broker, 9092, 'tcp');
expect(broker).isBetween([producer, consumer], keeper);
