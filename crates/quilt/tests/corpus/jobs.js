// Programs that end, with files and secrets.
import { Container, Secret, Volume, allow, hostPath } from 'weft';

const shared = new Volume('shared_data');
const queue = new Container('queue', { command: ['weft', 'tool', 'web', '--listen', 5672], mounts: { '/var/spool': shared } });
const batch = new Container('batch', {
  command: ['sh', '-c', 'echo "$(hostname): done"; sleep 1000'], replicas: 3, restart: 'never', cpu: 0.1, pids: 32,
  env: { TOKEN: new Secret('API_TOKEN'), YES: 'yes', NUMBER: '0755', EMPTY: '', TIME: '12:30:00', TRUE: true },
  files: { '/etc/batch.conf': '# first line\n\tkey: "value"\r\n  indented  \n\n', '/etc/token': new Secret('API_TOKEN') },
  mounts: { '/var/spool': shared, '/logs': hostPath('/var/log', { readOnly: true }) },
});
const cleaner = new Container('cleaner', { command: ['sleep', 1000], restart: 'on-failure', user: 1000 });
allow([batch, cleaner], queue, 5672, 'tcp');
