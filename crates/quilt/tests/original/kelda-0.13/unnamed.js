// A namespace that is left out is not the same as one that is nothing.
const { Infrastructure, Machine } = require('kelda');

const machine = new Machine({ provider: 'Vagrant' });
new Infrastructure({ masters: machine, workers: [machine], namespace: undefined });
