import { Container, LoadBalancer, Port, PortRange, Secret, Service, Volume, allow, allowTraffic, args, deployment, hostPath, publicInternet, publish, tcp, udp } from 'weft';
deployment({ name: args.name ?? 'all', denied: 'drop' });
const a = new Container('a', {
  command: ['run', 7], user: 1000, workdir: '/srv', memory: '1.5G', cpu: 0.25, pids: 9, restart: 'on-failure',
  env: { A: 'a', N: 1, B: true, S: new Secret('s') },
  files: { '/etc/a': `text ${'x'.repeat(3)}` },
  mounts: { '/data': new Volume('data'), '/logs': hostPath('/var/log', { readOnly: true }) },
});
const b = new Container('b', { image: 'nginx:1', replicas: 3 });
const s = new Service('s', [a, b]);
new LoadBalancer('t', 'a');
allow([a, 'b'], s, new PortRange(80, 90));
allowTraffic(a, publicInternet, tcp(443));
s.allowFrom(a, udp(53)).publish(8080, 80);
publish('t', 5353, 53, 'udp');
a.env.LATE = Math.random() + Date.now();
await Promise.all([1, 2].map(async (x) => console.log(x, Port(x))));
for (const [k, v] of Object.entries({ x: /a+/u.exec('baa'), y: 10n ** 20n })) console.log(k, String(v));
