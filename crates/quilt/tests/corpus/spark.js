// Spark-shaped: a master, workers that open ports of their own choice to each other, a driver.
import { Container, PortRange, allow, publish } from 'weft';

const master = new Container('master', { command: ['weft', 'tool', 'web', '--listen', 7077] });
const worker = new Container('worker', { command: ['sleep', 1000], replicas: 8, memory: '64M' });
const driver = new Container('driver', { command: ['sleep', 1000], restart: 'on-failure' });
allow(worker, master, 7077, 'tcp');
allow(master, worker, 8081, 'tcp');
allow(worker, worker, new PortRange(30000, 45000), 'tcp');
allow(driver, master, 7077, 'tcp');
allow(worker, driver, new PortRange(30000, 45000), 'tcp');
allow(driver, worker, new PortRange(30000, 45000), 'tcp');
publish(master, 8088, 8080);
