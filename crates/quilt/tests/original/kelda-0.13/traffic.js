// Who may connect to whom.
const { Container, Infrastructure, LoadBalancer, Machine, Port, PortRange, Range, allowTraffic, publicInternet } = require('kelda');

const machine = new Machine({ provider: 'Amazon' });
const infrastructure = new Infrastructure({ masters: machine, workers: machine });
const [a, b, c] = ['a', 'b', 'c'].map((name) => new Container({ name, image: 'pause' }));
const front = new LoadBalancer({ name: 'front', containers: [a, b] });
const single = new LoadBalancer({ name: 'front', containers: c });
front.containers.push(c);
const group = { getConnectableName: () => b.getConnectableName() };
allowTraffic(publicInternet, front, new Port(443));
allowTraffic([a, b], [c, front, group], new PortRange(1000, 2000));
allowTraffic(group, a, new Range(5, 5));
allowTraffic(a, publicInternet, 53);
allowTraffic([], [a], 1);
a.env.FRONT = `${front.getHostname()} ${single.getHostname()}`;
[a, b, c, front, single].forEach((one) => one.deploy(infrastructure));
