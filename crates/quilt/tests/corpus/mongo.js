// A MongoDB replica set named member by member, and an application.
import { Container, Service, allow, publish } from 'weft';

const members = [];
for (let i = 0; i < 5; i += 1) members.push(new Container(`mongo${i}`, { command: ['weft', 'tool', 'web', '--listen', 27017] }));
const mongo = new Service('mongo', members);
const app = new Container('app', { command: ['weft', 'tool', 'web', '--listen', 3000], replicas: 2, env: { MONGO: 'mongo:27017' } });
allow(mongo, mongo, 27017, 'tcp');
allow(app, mongo, 27017, 'tcp');
publish(app, 3000);
