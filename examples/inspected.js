// Requests that pass a monitor, a firewall and a search for signatures before they arrive.
//
//   apt-get install curl
//   weft up examples/inspected.js
//   weft logs client                 # pages come; a forbidden one, and those of port 81, do not
//   weft why client web 80           # the chain, and what each instance passed and dropped
//   weft top                         # the same while it happens, under FUNCTION
//
// It shows network functions on a link. They run in the network itself, between the decision that a packet may pass and its
// delivery, and see both directions. Change one and `weft up` again: the others keep what they know, and no packet is lost.

import { Container, PortRange, allow, deployment } from 'weft';
import { NF } from 'weft/nf';

deployment({ name: 'inspected' });

const web = new Container('web', {
  command: 'weft tool web --listen 81 & exec weft tool web --listen 80',
});

const client = new Container('client', {
  command: `
    while sleep 1; do
      curl --silent --show-error --max-time 2 http://web/
      curl --silent --max-time 2 http://web/etc/passwd || echo 'no /etc/passwd'
      curl --silent --max-time 2 http://web:81/ || echo 'nothing on port 81'
    done`,
});

// `weft netbricks list` has more of them, and their manuals. Each may run in several instances, which share the connections.
const watch = new NF('watch', { run: 'monitor top=5' });
const guard = new NF('guard', { run: 'firewall rule=permit out tcp any any 80', instances: 2 });
const search = new NF('search', { run: 'signature rule=drop "passwd" content "/etc/passwd" tcp' });

// Allowed are both ports. What the functions do not pass does not arrive all the same.
allow(client, web, new PortRange(80, 81), 'tcp').through(watch, guard, search);
