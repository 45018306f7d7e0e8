// One replica that something names: the others are not like it.
import { Container, Service, allow, expect } from 'weft';

const web = new Container('web', { command: ['weft', 'tool', 'web', '--listen', 80], replicas: 3 });
const canary = new Service('canary', ['web-3']);
const tester = new Container('tester', { command: ['sleep', 1000] });
const user = new Container('user', { command: ['sleep', 1000] });
allow(user, web, 80, 'tcp');
allow(tester, canary, 81, 'tcp');
allow(tester, 'web-1', 82, 'tcp');
expect(user).cannotConnect(web, 81);
