// Who may connect to whom, in every way that could be said.
const { Container, Port, PortRange, Range, Service, createDeployment, publicInternet } = require('@quilt/quilt');

const tier = (name) => new Service(name, [new Container(name)]);
const [web, app, db] = ['web', 'app', 'db'].map(tier);
app.allowFrom(web, 80);
app.allowFrom(web, new Port(443));
db.allowFrom(app, new PortRange(5000, 5010));
db.allowFrom(db, new Range(7000, 7001));
app.allowFrom(db);
web.connect(9000, app);
web.connect(new PortRange(1, 65535), db);
web.allowFrom(publicInternet, 80);
web.allowFromPublic(new Port(443));
publicInternet.allowFrom(app, 25);
app.allowOutboundPublic(53);
publicInternet.connect(8080, web);
db.connect(123, publicInternet);
db.connectToPublic(22);
db.connectFromPublic(23);
createDeployment({}).deploy([db, web, app]);
