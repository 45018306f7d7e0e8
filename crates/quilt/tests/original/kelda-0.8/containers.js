// Containers, their values and their names.
const { Container, Image, Infrastructure, Machine, Secret, hostIP } = require('kelda');

const machine = new Machine({ provider: 'Amazon' });
const infrastructure = new Infrastructure(machine, machine);
const image = new Image('site', 'FROM nginx');
const env = { B: 'b', A: new Secret('password'), IP: hostIP };
const web = new Container('web', image, { command: ['nginx', '-g', 'daemon off;'], env, filepathToContent: { '/b': 'b', '/a': new Secret('key') } });
env.B = 'too late';
image.name = 'too late';
web.setEnv('SELF', web.getHostname());
const again = new Container('web', 'nginx');
const copy = web.clone();
const other = web.withEnv({ ONLY: copy.getHostname() });
const taken = new Container('web2', 'nginx');
[other, copy, again, web, taken, web].forEach((one) => one.deploy(infrastructure));

class Store extends Container {
  constructor(name, port) {
    super(name, 'store', { command: ['store', `${port}`] });
    this.port = port;
  }

  deploy(to) {
    super.deploy(to);
    new Container(`${this.hostname}_side`, 'side').deploy(to);
  }
}
new Store('Store', 7000).deploy(infrastructure);
