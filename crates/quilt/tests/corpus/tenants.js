// Four tenants of the same shape that never meet, but for one gateway.
import { Container, allow, expect, publicInternet, publish } from 'weft';

const front = new Container('front', { command: ['weft', 'tool', 'web', '--listen', 80], replicas: 2 });
const tenants = ['red', 'green', 'blue', 'grey'].map((tenant) => {
  const app = new Container(`${tenant}-app`, { command: ['weft', 'tool', 'web', '--listen', 80], replicas: 2 });
  const db = new Container(`${tenant}-db`, { command: ['weft', 'tool', 'db', '--listen', 5432] });
  allow(front, app, 80, 'tcp');
  allow(app, db, 5432, 'tcp');
  return { app, db };
});
publish(front, 8080, 80);
for (const { app, db } of tenants) {
  expect(front).isBetween(publicInternet, db);
  for (const other of tenants) if (other.app !== app) expect(app).cannotReach([other.app, other.db]);
}
