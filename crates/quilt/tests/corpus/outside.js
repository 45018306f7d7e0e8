// Some that may reach the rest of the world, and one that the world may reach.
import { Container, allow, publicInternet, publish, tcp } from 'weft';

const crawler = new Container('crawler', { command: ['sleep', 1000], replicas: 3 });
const store = new Container('store', { command: ['weft', 'tool', 'web', '--listen', 80] });
allow(crawler, publicInternet, 80, 'tcp');
allow(crawler, publicInternet, tcp(443));
allow(crawler, store, 80, 'tcp');
publish(store, 8081, 80);
