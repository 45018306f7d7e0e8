// What createDeployment takes, and things that deploy themselves.
const { Container, Machine, Service, createDeployment, getDeployment } = require('@quilt/quilt');

const deployment = createDeployment({ namespace: 'Weaver', adminACL: ['10.0.0.0/8', 'local'], maxPrice: 0.25 });

class Cluster {
  constructor(count) {
    this.service = new Service('node', new Container('alpine', ['sleep', '9']).replicate(count));
    this.machine = new Machine({ provider: 'Amazon' });
  }

  deploy(to) {
    to.deploy([this.service, [this.machine.asMaster(), this.machine.asWorker()]].flat());
  }
}

deployment.deploy([new Cluster(2), { deploy: (to) => to.deploy(new Service('none', [])) }]);
if (getDeployment() !== deployment) throw new Error('the deployment made last is the one');
