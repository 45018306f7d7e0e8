// Ranges as text, and what is in them.
const { Container, Infrastructure, Machine, Port, PortRange, Range } = require('kelda');

const machine = new Machine({ provider: 'Amazon' });
const infrastructure = new Infrastructure({ masters: machine, workers: machine });
const web = new Container({ name: 'web', image: 'nginx' });
const ranges = [new Port(80), new PortRange(1, 2), new Range(3), new Range(), new Range(undefined, 4), new Range(5, 0)];
web.env.RANGES = ranges.join(' ');
web.env.IN = ranges.map((range) => [0, 2, 3.5, 80].filter((x) => range.inRange(x)).join('+')).join(' ');
web.deploy(infrastructure);
