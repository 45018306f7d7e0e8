// Constructors without `new` made nothing that could be deployed, but were counted; ranges as text.
const { Container, Machine, Port, Range, Service, createDeployment } = require('@quilt/quilt');

Container('image');
Container('image');
const first = new Service('first', new Container('image').replicate(2));
Machine({});
const env = { PORT: `${new Port(80)}`, PORTS: String(new Range(1, 2)) };
const second = new Service('second', [new Container('image').withEnv(env), new Container('image')]);
createDeployment().deploy([second, first]);
