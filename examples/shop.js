// A small shop: three web servers behind one name, a database only they may reach, and a client.
//
//   weft up examples/shop.js
//   curl http://localhost:8080        # the three answer in turn
//   weft why client db 5432           # denied: nobody said the client may
//   weft stop
//
// Everything it runs is in the weft binary itself, so it works on any Linux machine.

import { Container, allow, deployment, publish } from 'weft';

// What runs is called 'shop'. A packet that no link allows is refused at once ('drop' would let it time out).
deployment({ name: 'shop', denied: 'refuse' });

// A container is a program in its own namespaces, on a copy-on-write view of this machine's files.
const db = new Container('db', {
  command: ['weft', 'tool', 'db', '--listen', '5432'],
  memory: '128M', // no more than this, where cgroups allow
});

// Three of the same behind one name: 'web' is in front of 'web-1', 'web-2' and 'web-3'.
const web = new Container('web', {
  command: ['weft', 'tool', 'web', '--listen', '80', '--db', 'db:5432'],
  replicas: 3,
});

const client = new Container('client', {
  command: ['weft', 'tool', 'client', '--url', 'http://web/', '--every', '1s'],
});

// Nothing passes unless a line here says so. Replies pass; nothing else comes back.
allow(web, db, 5432, 'tcp');
allow(client, web, 80, 'tcp');

// Port 8080 of this machine leads to port 80 of the web servers, one after the other.
publish(web, 8080, 80);
