// Anything goes, and what is denied vanishes.
import { Container, PortRange, allow, deployment } from 'weft';

deployment({ name: 'all', denied: 'drop' });
const a = new Container('a', { command: ['weft', 'tool', 'web', '--listen', 80], replicas: 2 });
const b = new Container('b', { command: ['weft', 'tool', 'web', '--listen', 80], replicas: 2 });
allow([a, b], [a, b], new PortRange(1, 65535));
