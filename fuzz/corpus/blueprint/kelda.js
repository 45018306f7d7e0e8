const { Container, Image, Infrastructure, LoadBalancer, Machine, Secret, Volume, VolumeMount, allowTraffic, publicInternet, PortRange } = require('kelda');
const machine = new Machine({ provider: 'Amazon', size: 'm3.medium' });
const infrastructure = new Infrastructure(machine, machine.replicate(2), { namespace: 'test' });
class Web extends Container {
  constructor() {
    super('web', new Image('nginx:1.25'), { env: { TOKEN: new Secret('token') }, filepathToContent: { '/etc/x': 'y' } });
    allowTraffic(publicInternet, this, 80);
  }
}
const webs = [new Web()];
const db = new Container({ name: 'db', image: 'redis', volumeMounts: [new VolumeMount({ volume: new Volume({ name: 'd' }), mountPath: '/d' })] });
const lb = new LoadBalancer('lb', webs);
allowTraffic(webs, db, new PortRange(6379, 6380));
allowTraffic(db, publicInternet, 443);
[...webs, db, lb].forEach((x) => x.deploy(infrastructure));
