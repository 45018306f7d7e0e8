// Services that share members: what a container may do is the sum of all it is in.
import { Container, Service, allow } from 'weft';

const run = (name) => new Container(name, { command: ['weft', 'tool', 'web', '--listen', 80] });
const [a, b, c, d] = ['a', 'b', 'c', 'd'].map(run);
const left = new Service('left', [a, b]);
const right = new Service('right', [b, c]);
allow(left, d, 80, 'tcp');
allow(d, right, 81, 'tcp');
allow(left, right, 82, 'tcp');
