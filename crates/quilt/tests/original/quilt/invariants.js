// What a network is asserted to be.
const { Assertion, Container, Machine, Service, createDeployment, enough, publicInternet } = require('@quilt/quilt');

const deployment = createDeployment({});
const service = (name) => new Service(name, [new Container('pause')]);
const [web, filter, db] = ['web', 'filter', 'db'].map(service);
filter.annotate('ACL');
filter.allowFrom(web, 80);
db.allowFrom(filter, 80);
web.allowFrom(publicInternet, 80);
deployment.deploy([new Machine({ provider: 'Amazon' }).asMaster(), web, filter, db]);
deployment.assert(publicInternet.canReach(db), true);
deployment.assert(db.canReach(publicInternet), false);
deployment.assert(web.canReachACL(db), false);
deployment.assert(web.neighborOf(filter), true);
deployment.assert(filter.between(web, db), true);
deployment.assert(enough, true);
deployment.invariants.push(new Assertion({ form: 'reach', nodes: ['web', 'db'] }, true));
