// Sixty containers in twenty services, each reaching the few that it needs.
import { Container, allow, deployment, expect, publicInternet, publish } from 'weft';

deployment({ name: 'micro-services' });
const services = [];
for (let i = 0; i < 20; i += 1) {
  services.push(new Container(`svc${i}`, { command: ['weft', 'tool', 'web', '--listen', 8000 + i], replicas: 3 }));
}
for (let i = 0; i < 20; i += 1) {
  for (const next of [2 * i + 1, 2 * i + 2]) if (next < 20) allow(services[i], services[next], 8000 + next, 'tcp');
}
allow(services[7], services[3], 8003);
publish(services[0], 8000);
expect(publicInternet).canReach(services[19]);
expect(services[9]).isBetween(publicInternet, services[19]);
expect(services[19]).cannotReach(services);
