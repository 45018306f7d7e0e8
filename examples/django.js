// Django behind nginx: two application servers that count visits in redis.
//
//   apt-get install nginx-light python3-django python3-redis redis-server curl
//   weft up examples/django.js
//   for i in 1 2 3 4; do curl http://localhost:8085/; done       # both answer, and count together
//   weft graph examples/django.js > django.svg
//   weft exec nginx -- redis-cli -h cache ping                   # refused: nginx has no business there
//
// It shows three tiers, a program read from a file beside the blueprint, and the proof that the middle one is between.

import { readFileSync } from 'fs';
import { Container, allow, deployment, expect, publicInternet, publish, tcp } from 'weft';

deployment({ name: 'django' });

const cache = new Container('cache', {
  command: ['redis-server', '--bind', '*', '-::*', '--protected-mode', 'no', '--save', '', '--dir', '/tmp'],
});

const app = new Container('app', {
  command: ['/usr/bin/python3', '/srv/app.py', 'runserver', '--noreload', '--ipv6', '[::]:8000'],
  files: { '/srv/app.py': readFileSync('django/app.py', 'utf8') },
  env: { REDIS_HOST: cache.hostname, PYTHONUNBUFFERED: 1 },
  replicas: 2,
});

const nginx = new Container('nginx', {
  command: ['nginx', '-c', '/etc/nginx-weft.conf'],
  files: {
    '/etc/nginx-weft.conf': `
daemon off;
master_process off;
user root;
error_log stderr;
pid /tmp/nginx.pid;
events {}
http {
  access_log off;
  client_body_temp_path /tmp/body;
  proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi;
  scgi_temp_path /tmp/scgi;
  server {
    listen 80;
    listen [::]:80;
    location / { proxy_pass http://${app.hostname}:8000; }
  }
}
`,
  },
});

allow(nginx, app, tcp(8000));
allow(app, cache, tcp(6379));
publish(nginx, 8085, 80);

expect(app).isBetween([nginx, publicInternet], cache);
