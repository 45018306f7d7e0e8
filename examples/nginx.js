// Two nginx servers behind one name, and a client that asks them in turn.
//
//   apt-get install nginx-light curl
//   weft up examples/nginx.js
//   weft logs -f client
//   curl http://localhost:8081
//
// It shows configuration through `files`, containers that differ, and a Service that puts them behind one name.

import { Container, Service, allow, deployment, publish } from 'weft';

deployment({ name: 'nginx' });

// nginx as one process that needs no other user and writes below /tmp only, so it runs without root too.
const config = `
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
    root /srv/www;
  }
}
`;

// A blueprint is a program: a function makes one server for each page.
function server(name, page) {
  return new Container(name, {
    command: ['nginx', '-c', '/etc/nginx-weft.conf'],
    files: {
      '/etc/nginx-weft.conf': config,
      '/srv/www/index.html': page,
    },
  });
}

const pages = new Service('pages', [
  server('north', 'hello from the north\n'),
  server('south', 'hello from the south\n'),
]);

const client = new Container('client', {
  // One string is run by /bin/sh.
  command: 'while sleep 1; do curl --silent --show-error --max-time 2 http://pages/; done',
});

allow(client, pages, 80, 'tcp');
publish(pages, 8081, 80);
