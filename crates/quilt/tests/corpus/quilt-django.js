// Django in the words of Quilt: HAProxy before Django before a replicated Mongo, names with an underscore, a host name.
const {
  Container, LabelRule, Port, Service, createDeployment, publicInternet,
} = require('@quilt/quilt');

const deployment = createDeployment({ namespace: 'quilt_django' });

function Mongo(count) {
  const one = new Container('host', ['weft', 'tool', 'db', '--listen', '27017']);
  this.cluster = new Service('mongo', one.replicate(count));
  this.cluster.allowFrom(this.cluster, 27017);
  this.uri = () => `mongodb://${this.cluster.children().map((name) => `${name}:27017`).join(',')}/django`;
}
Mongo.prototype.deploy = function deploy(where) {
  where.deploy(this.cluster);
};

const mongo = new Mongo(3);
const django = new Service('django_app',
  new Container('host', ['weft', 'tool', 'web', '--listen', '8000']).withEnv({ MONGO_URI: mongo.uri() }).replicate(3));
const proxy = new Container('host', ['weft', 'tool', 'web', '--listen', '80']);
proxy.setHostname('hap');
const haproxy = new Service('proxy', [proxy]);
const shell = new Service('shell', [new Container('host', ['sleep', '1000'])]);

mongo.cluster.allowFrom(django, new Port(27017));
django.allowFrom(haproxy, 8000);
haproxy.allowFrom(publicInternet, 80);
mongo.cluster.allowFrom(shell, 27017);
django.place(new LabelRule(true, haproxy));

deployment.deploy([mongo, django, haproxy, shell]);
deployment.assert(mongo.cluster.canReach(haproxy), false);
deployment.assert(django.between(haproxy, mongo.cluster), true);
