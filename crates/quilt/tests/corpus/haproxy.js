// HAProxy-shaped: two balancers in front of two pools, statistics that only the operator sees.
import { Container, Service, allow, expect, publicInternet, publish, tcp } from 'weft';

const pool = (name, port, count) => new Container(name, {
  command: ['weft', 'tool', 'web', '--listen', port], replicas: count,
});
const shop = pool('shop', 8001, 3);
const blog = pool('blog', 8002, 2);
const proxies = ['left', 'right'].map((name) => new Container(`haproxy-${name}`, {
  command: ['weft', 'tool', 'web', '--listen', 80],
  files: { '/etc/haproxy.cfg': 'backend shop\n  server-template s 3 shop-:8001\n' },
}));
const front = new Service('front', proxies);
const operator = new Container('operator', { command: ['sleep', 1000] });
allow(front, shop, tcp(8001));
allow(front, blog, tcp(8002));
allow(proxies[0], proxies[1], tcp(1024));
allow(proxies[1], proxies[0], tcp(1024));
allow(operator, front, tcp(8404));
publish(front, 8080, 80);
expect(front).isBetween(publicInternet, [shop, blog]);
expect(operator).cannotConnect([shop, blog]);
