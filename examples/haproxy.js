// HAProxy in front of three web servers: it asks each whether it is well, and shows an operator what it has counted.
//
//   apt-get install haproxy curl
//   weft up examples/haproxy.js
//   for i in 1 2 3; do curl http://localhost:8084/; done         # the three answer in turn
//   weft exec operator -- curl -s 'http://proxy:8404/;csv'        # one line for each server
//   weft exec operator -- curl http://web-1/                      # refused: no line lets the operator go there
//
// It shows replicas that are called one by one, a configuration written by the blueprint, and an expectation: up is
// refused should a line ever lead past the proxy.

import { Container, allow, deployment, expect, publicInternet, publish, tcp } from 'weft';

deployment({ name: 'haproxy' });

const count = 3;
const web = new Container('web', { command: ['weft', 'tool', 'web', '--listen', '80'], replicas: count });

// Replicas are called web-1, web-2, … and 'web' stands for all of them.
const servers = Array.from({ length: count }, (_, at) => `  server web-${at + 1} web-${at + 1}:80 check inter 1s`);

const proxy = new Container('proxy', {
  command: ['haproxy', '-db', '-f', '/etc/haproxy-weft.cfg'],
  files: {
    '/etc/haproxy-weft.cfg': `
global
  maxconn 200
defaults
  mode http
  timeout connect 2s
  timeout client 10s
  timeout server 10s
frontend shop
  bind :::80 v4v6
  default_backend web
backend web
  balance roundrobin
  option httpchk GET /
${servers.join('\n')}
frontend statistics
  bind :::8404 v4v6
  stats enable
  stats uri /
`,
  },
});

const operator = new Container('operator', { command: ['sleep', 'infinity'] });

allow(proxy, web, tcp(80));
allow(operator, proxy, tcp(8404));
publish(proxy, 8084, 80);

expect(proxy).isBetween([operator, publicInternet], web);
