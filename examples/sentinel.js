// Three redis servers that hold the same, three sentinels that watch them, and an application that always finds the
// primary.
//
//   apt-get install redis-server
//   weft up examples/sentinel.js
//   weft logs -f app                                              # written to redis-1
//   weft exec redis-1 -- redis-cli client pause 30000 all          # it answers nobody for half a minute
//   weft logs -f app                                              # another has taken over
//
// It shows a cluster whose members talk to each other, services over containers that differ, and that the sentinels'
// votes are nobody else's business.

import { Container, Service, allow, deployment, expect, tcp } from 'weft';

deployment({ name: 'sentinel' });

function redis(number) {
  const name = `redis-${number}`;
  return new Container(name, {
    command: [
      'redis-server', '--bind', '*', '-::*', '--protected-mode', 'no', '--save', '', '--dir', '/tmp',
      '--repl-diskless-sync-delay', '0', '--replica-announce-ip', name,
      ...(number === 1 ? [] : ['--replicaof', 'redis-1', '6379']),
    ],
  });
}
const servers = new Service('servers', [1, 2, 3].map(redis));

// Sentinels write down in their configuration what they learn.
const configuration = (name) => `
bind * -::*
protected-mode no
port 26379
dir /tmp
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip ${name}
sentinel monitor shop redis-1 6379 2
sentinel down-after-milliseconds shop 2000
sentinel failover-timeout shop 10000
`;
const sentinels = new Service('sentinels', [1, 2, 3].map((number) => new Container(`sentinel-${number}`, {
  command: ['redis-server', '/etc/sentinel-weft.conf', '--sentinel'],
  files: { '/etc/sentinel-weft.conf': configuration(`sentinel-${number}`) },
})));

const app = new Container('app', {
  command: `
    while sleep 1; do
      primary=$(redis-cli -h sentinels -p 26379 sentinel get-master-addr-by-name shop | head -n 1)
      answer=$(timeout 2 redis-cli -h "$primary" incr visits) && echo "visit $answer written to $primary"
    done`,
});

allow(servers, servers, tcp(6379));
allow(sentinels, servers, tcp(6379));
allow(sentinels, sentinels, tcp(26379));
allow(app, sentinels, tcp(26379));
allow(app, servers, tcp(6379));

expect(servers).cannotReach([sentinels, app]);
