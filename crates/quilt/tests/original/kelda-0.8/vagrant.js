// Machines of this machine: a copy forgets how large it was to be.
const { Infrastructure, Machine } = require('kelda');

const machine = new Machine({ provider: 'Vagrant' });
if (machine.size !== '1,1') throw new Error(machine.size);
new Infrastructure(machine, machine);
