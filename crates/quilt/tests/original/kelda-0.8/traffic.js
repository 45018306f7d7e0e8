// Who may connect to whom.
const { Container, Infrastructure, LoadBalancer, Machine, Port, PortRange, Range, allow, allowTraffic, publicInternet } = require('kelda');

const machine = new Machine({ provider: 'Amazon' });
const infrastructure = new Infrastructure(machine, machine);
const [a, b, c] = ['a', 'b', 'c'].map((name) => new Container(name, 'pause'));
const front = new LoadBalancer('front', [a, b]);
const single = new LoadBalancer('front', c);
front.containers.push(c);
class Group {
  constructor(containers) {
    this.containers = containers;
  }

  allowFrom(source, port) {
    this.containers.forEach((one) => one.allowFrom(source, port));
  }

  getConnectableName() {
    return this.containers[0].getConnectableName();
  }
}
const group = new Group([b, c]);
allow(a, [front, group], 80);
allow(publicInternet, front, new Port(443));
allowTraffic([a, b], [c, front], new PortRange(1000, 2000));
allowTraffic(group, a, new Range(5, 5));
allowTraffic(a, publicInternet, 53);
allowTraffic(a, a, 0);
allowTraffic([], [a], 1);
b.allowFrom([a, c], 22);
b.allowFrom(publicInternet, 23);
front.allowFrom(c, 24);
publicInternet.allowFrom([a, b], 25);
a.setEnv('FRONT', `${front.hostname()} ${single.hostname()}`);
[a, b, c, front, single].forEach((one) => one.deploy(infrastructure));
