// Every size of Amazon that can be asked for by cores and memory.
const { Infrastructure, Machine, Range } = require('kelda');

const machines = [new Machine({ provider: 'Amazon', size: 't2.nano' })];
for (const cpu of [1, 2, 4, 8, 16, 32, 36, 40]) {
  machines.push(new Machine({ provider: 'Amazon', cpu: new Range(cpu) }));
  for (const ram of [1, 16, 61, 100]) {
    machines.push(new Machine({ provider: 'Amazon', cpu: new Range(cpu), ram: new Range(ram) }));
  }
}
new Infrastructure(machines[0], machines);
