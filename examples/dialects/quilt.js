// The shop in the words of Quilt, July 2017: a service is a label, a virtual address and the unit of policy.
//
//   weft quilt eval --dialect quilt examples/dialects/quilt.js     the deployment as Quilt printed it
//   weft up examples/dialects/quilt.js && curl http://localhost:8082/
const { Container, LabelRule, Machine, Service, createDeployment, publicInternet } = require('@quilt/quilt');

const deployment = createDeployment({ namespace: 'quilt-shop' });

const machine = new Machine({ provider: 'Amazon', size: 'm4.large' });
deployment.deploy(machine.asMaster());
deployment.deploy(machine.asWorker().replicate(3));

const db = new Service('db', [new Container('host', ['weft', 'tool', 'db', '--listen', '5432'])]);
const web = new Service('web',
  new Container('host', ['weft', 'tool', 'web', '--listen', '8082', '--db', `${db.hostname()}:5432`]).replicate(3));

db.allowFrom(web, 5432);
web.allowFrom(publicInternet, 8082);
web.place(new LabelRule(true, db));

deployment.deploy([db, web]);
deployment.assert(web.neighborOf(db), true);
deployment.assert(db.canReach(web), false);
