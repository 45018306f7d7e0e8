// Keys of a user of GitHub, from the file beside this one.
const { Machine, createDeployment, githubKeys } = require('@quilt/quilt');

const keys = githubKeys('weaver');
createDeployment().deploy(new Machine({ provider: 'Vagrant', sshKeys: keys.concat(githubKeys('weaver')) }).asMaster());
