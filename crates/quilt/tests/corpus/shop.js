// Web servers behind one name, a database only they may reach.
import { Container, allow, expect, publicInternet, publish } from 'weft';

const db = new Container('db', { command: ['weft', 'tool', 'db', '--listen', 5432], memory: '128M' });
const web = new Container('web', { command: ['weft', 'tool', 'web', '--listen', 80, '--db', 'db:5432'], replicas: 3 });
const client = new Container('client', { command: ['sleep', 1000], cpu: 0.5 });
allow(web, db, 5432, 'tcp');
allow(client, web, 80, 'tcp');
publish(web, 8080, 80);
expect(web).isBetween([client, publicInternet], db);
expect(client).cannotConnect(db);
