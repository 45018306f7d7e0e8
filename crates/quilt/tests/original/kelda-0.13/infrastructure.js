// Settings; machines are copied only when the deployment is printed.
const { Infrastructure, Machine, getInfrastructure } = require('kelda');

const master = new Machine({ provider: 'Amazon', sshKeys: ['ssh-rsa AAAA'] });
const workers = master.replicate(2);
const infrastructure = new Infrastructure({ masters: master, workers, namespace: 'loom', adminACL: ['10.0.0.0/8'] });
workers[0].diskSize = 64;
infrastructure.workers.push(workers[1].clone());
infrastructure.masters[0].floatingIp = '203.0.113.9';
if (getInfrastructure() !== infrastructure) throw new Error('there is one infrastructure');
