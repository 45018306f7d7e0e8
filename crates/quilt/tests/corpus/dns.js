// UDP beside TCP: a name server asked over both, metrics over one.
import { Container, allow, publish, tcp, udp } from 'weft';

const dns = new Container('dns', { command: ['sleep', 1000] });
const metrics = new Container('metrics', { command: ['sleep', 1000] });
const user = new Container('user', { command: ['sleep', 1000] });
allow(user, dns, 53);
allow(metrics, dns, tcp(9153));
allow(user, metrics, udp(8125));
publish(dns, 5353, 53, 'udp');
