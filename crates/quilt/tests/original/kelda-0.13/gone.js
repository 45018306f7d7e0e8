// What the module no longer had.
const kelda = require('kelda');

const machine = new kelda.Machine({ provider: 'Amazon' });
const infrastructure = new kelda.Infrastructure({ masters: machine, workers: machine });
const web = new kelda.Container({ name: 'web', image: 'nginx' });
const front = new kelda.LoadBalancer({ name: 'front', containers: [web] });
web.env.NAMES = Object.keys(kelda).sort().join();
web.env.GONE = [kelda.allow, kelda.hostIP, web.setEnv, web.allowFrom, front.hostname, infrastructure.machines].join();
web.deploy(infrastructure);
