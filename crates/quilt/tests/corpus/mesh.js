// Ten single containers of which each may reach each other.
import { Container, allow } from 'weft';

const all = [];
for (let i = 0; i < 10; i += 1) all.push(new Container(`m${i}`, { command: ['weft', 'tool', 'web', '--listen', 80] }));
for (const from of all) for (const to of all) if (from !== to) allow(from, to, 80, 'tcp');
