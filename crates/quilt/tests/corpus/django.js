// Django-shaped: a proxy, application servers, workers, a queue, a cache and a database.
import { Container, Secret, Volume, allow, expect, publicInternet, publish } from 'weft';

const postgres = new Container('postgres', {
  command: ['sleep', 1000], mounts: { '/var/lib/postgresql': new Volume('pgdata') },
  env: { POSTGRES_PASSWORD: new Secret('postgres-password') },
});
const redis = new Container('redis', { command: ['sleep', 1000] });
const env = { DATABASE_URL: 'postgres://app@postgres:5432/app', CACHE_URL: 'redis://redis:6379/0', DEBUG: 'no', PORT: 8000 };
const app = new Container('app', { command: ['weft', 'tool', 'web', '--listen', 8000], replicas: 3, env });
const worker = new Container('worker', { command: ['sleep', 1000], replicas: 2, env });
const beat = new Container('beat', { command: ['sleep', 1000], env });
const nginx = new Container('nginx', {
  command: ['weft', 'tool', 'web', '--listen', 80],
  files: { '/etc/nginx/conf.d/app.conf': 'upstream app {\n  server app:8000;\n}\n# on: $(date)\n' },
});
allow(nginx, app, 8000, 'tcp');
allow([app, worker], postgres, 5432, 'tcp');
allow([app, worker, beat], redis, 6379, 'tcp');
publish(nginx, 8080, 80);
publish(nginx, 8443, 443);
expect(nginx).isBetween(publicInternet, postgres);
expect(publicInternet).cannotConnect([app, postgres, redis]);
