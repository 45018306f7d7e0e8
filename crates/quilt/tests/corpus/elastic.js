// Elasticsearch-shaped: masters, data nodes, a view onto them, shippers that only send.
import { Container, Service, allow, expect, publish, tcp } from 'weft';

const master = new Container('es-master', { command: ['weft', 'tool', 'web', '--listen', 9200], replicas: 3 });
const data = new Container('es-data', { command: ['weft', 'tool', 'web', '--listen', 9200], replicas: 6 });
const cluster = new Service('elasticsearch', [master, data]);
const kibana = new Container('kibana', { command: ['weft', 'tool', 'web', '--listen', 5601], env: { ES: 'http://elasticsearch:9200' } });
const logstash = new Container('logstash', { command: ['sleep', 1000], replicas: 2 });
const beats = new Container('filebeat', { command: ['sleep', 1000], replicas: 5 });
allow(cluster, cluster, tcp(9300, 9305));
allow(kibana, cluster, 9200, 'tcp');
allow(logstash, data, 9200, 'tcp');
allow(beats, logstash, 5044, 'tcp');
publish(kibana, 5601);
expect(logstash).isBetween(beats, cluster);
expect(beats).cannotConnect(cluster);
