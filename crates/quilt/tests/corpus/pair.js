// The least there is: one may talk to the other.
import { Container, allow, expect } from 'weft';

const server = new Container('server', { command: ['weft', 'tool', 'web', '--listen', 80] });
const client = new Container('client', { command: ['sleep', 1000] });
allow(client, server, 80, 'tcp');
expect(client).canConnect(server, 80);
expect(server).cannotReach(client);
