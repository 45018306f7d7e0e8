// Containers, their values and their names.
const { Container, Image, Infrastructure, Machine, Secret } = require('kelda');

const machine = new Machine({ provider: 'Amazon' });
const infrastructure = new Infrastructure({ masters: machine, workers: machine });
const image = new Image({ name: 'site', dockerfile: 'FROM nginx' });
const env = { B: 'b', A: new Secret('password') };
const web = new Container({
  name: 'web', image, command: ['nginx'], env, filepathToContent: { '/b': 'b', '/a': new Secret('key') }, privileged: true,
});
env.B = 'too late';
web.env.SELF = web.getHostname();
const again = new Container({ name: 'web', image: 'nginx', privileged: false });
const copy = web.clone();
copy.filepathToContent['/c'] = 'c';
const taken = new Container({ name: 'web2', image: new Image({ name: 'nginx' }) });
const many = Array.from(Array(12), () => new Container({ name: 'many', image: 'pause' }));
[copy, again, web, taken, web, ...many].forEach((one) => one.deploy(infrastructure));
