// WordPress-shaped: two tiers, a cache, and a database with a replica.
import { Container, Service, allow, expect, publicInternet, publish } from 'weft';

const master = new Container('mysql-master', { command: ['sleep', 1000] });
const replica = new Container('mysql-replica', { command: ['sleep', 1000], replicas: 2 });
const memcached = new Container('memcached', { command: ['sleep', 1000], replicas: 2 });
const wordpress = new Container('wordpress', { command: ['weft', 'tool', 'web', '--listen', 80], replicas: 4 });
const haproxy = new Container('haproxy', { command: ['weft', 'tool', 'web', '--listen', 80], replicas: 2 });
const databases = new Service('mysql', [master, replica]);
allow(haproxy, wordpress, 80, 'tcp');
allow(wordpress, databases, 3306, 'tcp');
allow(wordpress, memcached, 11211);
allow(replica, master, 3306, 'tcp');
publish(haproxy, 8080, 80);
expect(wordpress).isBetween(haproxy, databases);
expect(publicInternet).cannotConnect(wordpress);
