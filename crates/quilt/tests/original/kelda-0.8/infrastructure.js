// Settings; machines are copied when the infrastructure is made.
const { Infrastructure, Machine, getInfrastructure } = require('kelda');

const master = new Machine({ provider: 'Amazon', sshKeys: ['ssh-rsa AAAA'] });
const workers = master.replicate(2);
workers[1].sshKeys.push('ssh-rsa BBBB');
const infrastructure = new Infrastructure(master, workers, { namespace: 'loom', adminACL: ['10.0.0.0/8'] });
workers[0].diskSize = 64;
if (getInfrastructure() !== infrastructure) throw new Error('there is one infrastructure');
