// argv: 2 tier
// What stands behind the blueprint on the command line.
const { Container, Infrastructure, Machine, githubKeys } = require('kelda');

const machine = new Machine({ provider: 'Amazon', sshKeys: githubKeys('weaver') });
const infrastructure = new Infrastructure({ masters: machine, workers: machine });
for (let i = 0; i < parseInt(process.argv[2], 10); i += 1) {
  new Container({ name: process.argv[3], image: 'pause' }).deploy(infrastructure);
}
