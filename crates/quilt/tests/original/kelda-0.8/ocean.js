// Regions and sizes of DigitalOcean.
const { Infrastructure, Machine, Range } = require('kelda');

const cheap = new Machine({ provider: 'DigitalOcean' });
const large = new Machine({ provider: 'DigitalOcean', cpu: new Range(8), ram: new Range(33) });
new Infrastructure(cheap, [large, new Machine({ provider: 'DigitalOcean', size: 'm-16gb', region: 'sfo1' })]);
