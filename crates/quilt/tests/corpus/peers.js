// Replicas that talk among themselves.
import { Container, allow, expect } from 'weft';

const peer = new Container('peer', { command: ['weft', 'tool', 'web', '--listen', 7000], replicas: 4 });
allow(peer, peer, 7000, 'tcp');
expect(peer).canConnect(peer, 7000);
