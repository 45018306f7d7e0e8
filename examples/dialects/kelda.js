// The shop in the words of Kelda 0.13, March 2018: load balancers, and connections between containers.
//
//   weft quilt eval --dialect kelda-0.13 examples/dialects/kelda.js 3    the deployment as Kelda printed it
//   weft up examples/dialects/kelda.js && curl http://localhost:8083/
const { Container, Infrastructure, LoadBalancer, Machine, allowTraffic, publicInternet } = require('kelda');

const machine = new Machine({ provider: 'Amazon', cpu: 2, ram: 8 });
const infrastructure = new Infrastructure({ masters: machine, workers: machine.replicate(3), namespace: 'kelda-shop' });

const db = new Container({ name: 'db', image: 'host', command: ['weft', 'tool', 'db', '--listen', '5432'] });
const webs = [];
for (let i = 0; i < Number(process.argv[2] || 2); i += 1) {
  webs.push(new Container({
    name: 'web',
    image: 'host',
    command: ['weft', 'tool', 'web', '--listen', '8083', '--db', `${db.getHostname()}:5432`],
  }));
}
const front = new LoadBalancer({ name: 'front', containers: webs });

allowTraffic(webs, db, 5432);
allowTraffic(publicInternet, front, 8083);

[db, front, ...webs].forEach((one) => one.deploy(infrastructure));
