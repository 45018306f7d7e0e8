// What of a client's packets arrives at a server, as tcpdump sees it there.
//
//   apt-get install tcpdump curl
//   weft up examples/capture.js
//   weft logs -f web        # requests on port 80, and never one on port 81
//   weft top                # those on port 81, under DENIED
//   weft exec web -- tcpdump -c 5 -n -i eth0        # more of it, or: -w file
//
// As root: tcpdump changes its groups, which an ordinary user's containers may not.
//
// It shows that what no line allows does not even arrive: the dataplane turns it away before it reaches the container.

import { Container, allow, deployment } from 'weft';

deployment({ name: 'capture' });

const web = new Container('web', {
  command: `
    tcpdump -Z root -l -n -i eth0 'dst port 80 or dst port 81' 2>/dev/null &
    exec weft tool web --listen 80`,
});

const client = new Container('client', {
  command: `
    while sleep 1; do
      curl --silent --show-error --max-time 2 http://web:80/
      curl --silent --show-error --max-time 2 http://web:81/ || echo 'nothing on port 81'
    done`,
});

allow(client, web, 80, 'tcp');
