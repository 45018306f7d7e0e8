// Where containers are to run.
const { Container, Infrastructure, Machine } = require('kelda');

const machine = new Machine({ provider: 'Amazon', size: 'm4.large' });
const infrastructure = new Infrastructure({ masters: machine, workers: [machine, machine] });
const db = new Container({ name: 'db', image: 'postgres' });
db.placeOn({ size: 'm4.large' });
db.placeOn({ provider: 'Amazon', region: 'us-west-1', floatingIp: '203.0.113.7', unknown: 1 });
const web = new Container({ name: 'web', image: 'nginx' });
web.placeOn({});
web.deploy(infrastructure);
db.deploy(infrastructure);
