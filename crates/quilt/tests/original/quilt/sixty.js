// Sixty containers in twelve tiers, each open to the next.
const { Container, Image, LabelRule, Machine, MachineRule, Port, Service, createDeployment, publicInternet } = require('@quilt/quilt');

const deployment = createDeployment({ namespace: 'sixty', adminACL: ['0.0.0.0/0'] });
const machine = new Machine({ provider: 'Amazon', size: 'm4.large', diskSize: 32 });
deployment.deploy(machine.asMaster());
deployment.deploy(machine.asWorker().replicate(6));
let before = publicInternet;
for (let tier = 0; tier < 12; tier += 1) {
  const image = tier % 3 === 0 ? new Image(`tier-${tier}`, `FROM debian\nENV TIER ${tier}`) : `tier-${tier}`;
  const service = new Service('tier', new Container(image, ['run', `${tier}`]).replicate(5));
  service.containers.forEach((one, at) => one.setEnv('INDEX', `${at}`));
  service.allowFrom(before, new Port(8000 + tier));
  if (before !== publicInternet) {
    service.place(new LabelRule(true, before));
    deployment.assert(before.neighborOf(service), true);
    deployment.assert(service.canReach(before), false);
  }
  service.place(new MachineRule(false, { provider: 'Amazon' }));
  deployment.deploy(service);
  before = service;
}
