// argv: 2 --name tier -x
// What stands behind the blueprint on the command line.
const { Container, Infrastructure, Machine, githubKeys } = require('kelda');

const [, script, count, ...rest] = process.argv;
const machine = new Machine({ provider: 'Amazon', sshKeys: githubKeys('weaver') });
const infrastructure = new Infrastructure(machine, machine);
for (let i = 0; i < parseInt(count, 10); i += 1) {
  new Container(rest[1], 'pause', { command: [script.split('/').pop()].concat(rest) }).deploy(infrastructure);
}
