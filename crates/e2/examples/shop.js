// A web shop's traffic, as in shop.yaml: `weft e2 plan crates/e2/examples/shop.js`.
import { Hardware, NF, Pipelet } from 'weft/nf';

const firewall = new NF('firewall', {
  affinity: 'flow',
  capacity: '5 Gbit/s',
  attributes: { safe: 'metadata' },
  switchEntries: 200,
});
const ids = new NF('ids', {
  affinity: 'host pair',
  capacity: '1 Gbit/s',
  attributes: { alarm: 'metadata' },
});
const cache = new NF('cache', {
  kind: 'legacy',
  affinity: 'flow',
  capacity: '4 Gbit/s',
  attributes: { hit: 'port' },
});
const nat = new NF('nat', { affinity: 'flow', capacity: '3 Gbit/s', rewrites: ['ip.src', 'port.src'] });

new Pipelet('web', {
  traffic: 'tcp dst port 80',
  rate: '8 Gbit/s',
  edges: [
    { from: 'internet', to: firewall },
    { from: firewall, to: cache, when: 'safe', share: '75%' },
    { from: firewall, to: ids },
    { from: ids, to: cache, when: 'not alarm', share: '90%' }, // what raised an alarm ends here
    { from: cache, to: 'internet', when: 'hit', share: '40%' },
    { from: cache, to: 'shop' },
  ],
});
new Pipelet('updates', {
  traffic: 'src net 10.0.0.0/8 and tcp',
  rate: '2 Gbit/s',
  edges: [
    { from: 'shop', to: firewall },
    { from: firewall, to: nat },
    { from: nat, to: 'internet' },
  ],
});

const servers = [1, 2, 3].map((number) => `s${number}`);
new Hardware({
  switch: { name: 'tor', entries: 2048 },
  servers: servers.map((name) => ({ name, cores: 4 })),
  links: servers.map((name) => ({ between: [name, 'tor'], rate: '40 Gbit/s' })),
  ports: ['internet', 'shop'].map((name) => ({ name, rate: '20 Gbit/s' })),
});
