// Port ranges that overlap, touch and contain one another.
import { Container, PortRange, allow, tcp, udp } from 'weft';

const ftp = new Container('ftp', { command: ['sleep', 1000] });
const near = new Container('near', { command: ['sleep', 1000] });
const far = new Container('far', { command: ['sleep', 1000] });
allow(near, ftp, new PortRange(20, 21));
allow(near, ftp, tcp(22, 30));
allow(near, ftp, tcp(30000, 30100));
allow(far, ftp, tcp(21));
allow(far, ftp, udp(1, 65535));
allow(ftp, [near, far], new PortRange(1, 65535));
