// Twelve in a line, each may reach the next.
import { Container, allow, expect } from 'weft';

const line = [];
for (let i = 0; i < 12; i += 1) line.push(new Container(`n${i}`, { command: ['weft', 'tool', 'web', '--listen', 9000 + i] }));
for (let i = 1; i < 12; i += 1) allow(line[i - 1], line[i], 9000 + i, 'tcp');
expect(line[0]).canReach(line[11]).cannotConnect(line[2]);
expect(line[5]).isBetween(line[0], line[11]);
expect(line[11]).cannotReach(line[0]);
