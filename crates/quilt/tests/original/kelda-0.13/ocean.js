// Regions and sizes of DigitalOcean: the default region had moved.
const { Infrastructure, Machine, Range } = require('kelda');

const cheap = new Machine({ provider: 'DigitalOcean' });
const large = new Machine({ provider: 'DigitalOcean', cpu: new Range(8), ram: new Range(33) });
new Infrastructure({ masters: cheap, workers: [large] });
