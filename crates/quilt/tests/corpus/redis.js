// Redis-shaped: a primary, replicas of it, sentinels that watch them all and vote, applications that ask the sentinels.
import { Container, Service, allow, expect } from 'weft';

const primary = new Container('primary', { command: ['weft', 'tool', 'db', '--listen', 6379] });
const replica = new Container('replica', { command: ['weft', 'tool', 'db', '--listen', 6379], replicas: 3 });
const redis = new Service('redis', [primary, replica]);
const sentinel = new Container('sentinel', {
  command: ['weft', 'tool', 'db', '--listen', 26379], replicas: 3, env: { QUORUM: 2, PRIMARY: 'primary:6379' },
});
const app = new Container('app', { command: ['sleep', 1000], replicas: 4 });
allow(replica, redis, 6379, 'tcp');
allow(primary, replica, 6379, 'tcp');
allow(sentinel, [redis, sentinel], 6379, 'tcp');
allow(sentinel, sentinel, 26379, 'tcp');
allow(app, sentinel, 26379, 'tcp');
allow(app, redis, 6379, 'tcp');
expect(redis).cannotReach([app, sentinel]);
