// Everything is watched: one that may reach all, on a port of its own.
import { Container, allow, expect } from 'weft';

const apps = ['cart', 'orders', 'users', 'mail', 'search'].map((name) => (
  new Container(name, { command: ['weft', 'tool', 'web', '--listen', 9100], replicas: 3 })));
const prometheus = new Container('prometheus', { command: ['sleep', 1000], user: '65534:65534', workdir: '/tmp' });
const grafana = new Container('grafana', { command: ['sleep', 1000] });
allow(prometheus, apps, 9100, 'tcp');
allow(grafana, prometheus, 9090, 'tcp');
allow(apps[0], apps[1], 80, 'tcp');
allow(apps[1], [apps[2], apps[3]], 80, 'tcp');
expect(grafana).cannotConnect(apps);
expect(apps).cannotReach(prometheus);
