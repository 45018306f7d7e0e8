// Sizes: the cheapest that has what is asked for, or the one that is named.
const { Infrastructure, Machine, Range } = require('kelda');

const on = (options) => new Machine(Object.assign({ provider: 'Google' }, options));
const machines = [
  on({}),
  on({ cpu: 4 }),
  on({ ram: new Range(10, 20) }),
  on({ cpu: new Range(2), ram: new Range(undefined, 8) }),
  on({ size: 'n1-highmem-2', cpu: new Range(1, 2), diskSize: 32, floatingIp: '203.0.113.9', preemptible: true, role: 'Spare' }),
];
new Infrastructure({ masters: [machines[0]], workers: machines });
