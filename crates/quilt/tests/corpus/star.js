// A broker in the middle of twenty that may not reach each other.
import { Container, allow, expect } from 'weft';

const broker = new Container('broker', { command: ['weft', 'tool', 'web', '--listen', 1883] });
const things = [];
for (let i = 0; i < 20; i += 1) things.push(new Container(`thing${i}`, { command: ['sleep', 1000] }));
allow(things, broker, 1883, 'tcp');
expect(things[0]).cannotReach(things[1]);
