// Where containers may run.
const { Container, LabelRule, MachineRule, Service, createDeployment, publicInternet } = require('@quilt/quilt');

const web = new Service('web', [new Container('nginx')]);
const db = new Service('db', new Container('postgres').replicate(2));
web.place(new LabelRule(true, db));
web.place(new LabelRule(false, web));
web.place(new MachineRule(false, { floatingIp: '203.0.113.7' }));
web.allowFrom(publicInternet, 80);
db.place(new MachineRule(true, { provider: 'Amazon', size: 'm4.large', region: 'us-west-2' }));
db.place(new MachineRule(undefined, { provider: '', size: 'm4.large', unknown: 'left out' }));
createDeployment().deploy([web, db]);
