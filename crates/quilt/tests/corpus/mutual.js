// Two that talk both ways, each on its own port, over either protocol.
import { Container, allow } from 'weft';

const left = new Container('left', { command: ['weft', 'tool', 'web', '--listen', 1000] });
const right = new Container('right', { command: ['weft', 'tool', 'web', '--listen', 2000] });
allow(left, right, 2000);
allow(right, left, 1000);
