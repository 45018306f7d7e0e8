// A redis primary, a replica of it, and a client that writes to one and reads from the other.
//
//   apt-get install redis-server
//   weft up examples/redis.js
//   weft logs -f client
//   weft why replica primary 6379     # allowed, by the line below
//   weft why client primary 6380      # denied
//
// It shows arguments (weft up examples/redis.js --arg port=7000) and links that go one way.

import { Container, allow, args, deployment, tcp } from 'weft';

deployment({ name: 'redis' });

const port = Number(args.port ?? 6379);

function redis(name, ...options) {
  return new Container(name, {
    command: [
      'redis-server', '--port', port,
      '--bind', '*', '-::*', '--protected-mode', 'no', // links decide who connects
      '--save', '', '--appendonly', 'no', '--dir', '/tmp', // nothing is kept
      '--repl-diskless-sync-delay', '0', // the one replica need not wait for others
      ...options,
    ],
    memory: '256M',
  });
}

const primary = redis('primary');
const replica = redis('replica', '--replicaof', 'primary', port);

const client = new Container('client', {
  env: { PORT: port },
  command: `
    while sleep 1; do
      redis-cli -h primary -p $PORT incr visits >/dev/null
      echo "visits, as the replica has them: $(redis-cli -h replica -p $PORT get visits)"
    done`,
});

// The replica connects to the primary, never the other way round.
allow(replica, primary, tcp(port));
allow(client, [primary, replica], tcp(port));
