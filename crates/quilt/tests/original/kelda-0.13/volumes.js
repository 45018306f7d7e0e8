// Directories of the host.
const { Container, Infrastructure, Machine, Volume, VolumeMount } = require('kelda');

const machine = new Machine({ provider: 'Amazon' });
const infrastructure = new Infrastructure({ masters: machine, workers: machine });
const socket = new Volume({ name: 'docker', type: 'hostPath', path: '/var/run/docker.sock', mode: 0o600 });
const second = new Volume({ type: 'hostPath', path: '/srv', name: 'docker' });
const idle = new Volume({ name: 'idle', type: 'hostPath', path: '/idle' });
const mount = (volume, mountPath) => new VolumeMount({ volume, mountPath });
const one = new Container({ name: 'one', image: 'ubuntu', volumeMounts: [mount(socket, socket.path), mount(second, '/srv')] });
const two = new Container({ name: 'two', image: 'ubuntu', volumeMounts: [mount(second, '/data')] });
const three = two.clone();
new Container({ name: 'four', image: 'ubuntu', volumeMounts: [mount(idle, '/idle')] });
[two, one, three].forEach((each) => each.deploy(infrastructure));
