// As it was written before classes: constructors that call constructors.
const util = require('util');
const { Container, Machine, Service, createDeployment, publicInternet } = require('@quilt/quilt');

function Redis(count, password) {
  const redis = new Container('redis', ['redis-server', '--requirepass', password]);
  Service.call(this, 'redis', redis.replicate(count));
  this.port = 6379;
}
util.inherits(Redis, Service);
Redis.prototype.uri = function uri() {
  return util.format('redis://%s:%d', this.hostname(), this.port);
};

function Box(size) {
  Machine.call(this, { provider: 'Amazon', size });
}
Box.prototype = Object.create(Machine.prototype);

const redis = new Redis(2, 'secret');
const web = new Service('web', [new Container('web').withEnv({ REDIS: redis.uri() })]);
redis.allowFrom(web, redis.port);
web.allowFrom(publicInternet, 80);
const deployment = createDeployment({});
deployment.deploy([redis, web]);
deployment.deploy(new Box('m3.medium').asMaster());
