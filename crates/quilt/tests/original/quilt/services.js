// Names of services and of what is in them.
const { Container, Service, createDeployment } = require('@quilt/quilt');

const shared = new Container('etcd');
const zoo = new Service('zoo_keeper', new Container('zookeeper').replicate(2).concat(shared));
const again = new Service('zoo_keeper', [shared]);
const third = new Service('zoo_keeper', []);
const clash = new Service('zoo_keeper2', []);
const client = new Service('client', [
  new Container('alpine').withEnv({ ZOO: zoo.hostname(), EACH: zoo.children().join(','), AGAIN: again.hostname() }),
]);
zoo.annotate('ACL');
zoo.annotate('ephemeral');
// Whoever changes the list of a service changes the service.
client.containers.push(new Container('alpine'));
createDeployment({}).deploy([zoo, again, third, clash, client, client]);
