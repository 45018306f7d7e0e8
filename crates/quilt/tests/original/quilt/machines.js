// Machines, and what their identifiers depend on: not on keys.
const { Machine, Range, createDeployment } = require('@quilt/quilt');

const full = new Machine({
  provider: 'Google', role: 'Worker', region: 'us-east1-b', size: 'n1-standard-1', floatingIp: '203.0.113.9',
  diskSize: 32.5, sshKeys: ['ssh-rsa AAAA'], cpu: new Range(2, 4), ram: 8, preemptible: true, ignored: 1,
});
const small = new Machine({ provider: 'Amazon', ram: new Range(2) });
const workers = small.asWorker().replicate(2);
workers[0].sshKeys.push('ssh-rsa BBBB');
workers[1].preemptible = true;
const tagged = small.withRole('Spare');
tagged.tag = ['late'];
const deployment = createDeployment({});
deployment.deploy(full);
deployment.deploy([full.clone(), small.asMaster(), workers[0], workers[1], tagged, full]);
