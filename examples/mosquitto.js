// Two thermometers that tell a broker how warm it is, and a display that hears it from there (MQTT).
//
//   apt-get install mosquitto mosquitto-clients
//   weft up examples/mosquitto.js
//   weft logs -f display
//   weft why thermometer broker 1883       # allowed, by the line below
//   weft why thermometer display 1883      # denied: they meet at the broker only
//   weft top                               # who says how much
//
// It shows many senders behind one line, and what an expectation is for: things in a field must not reach each other.

import { Container, allow, deployment, expect, tcp } from 'weft';

deployment({ name: 'mosquitto' });

const broker = new Container('broker', {
  command: ['mosquitto', '-c', '/etc/mosquitto-weft.conf'],
  files: { '/etc/mosquitto-weft.conf': 'listener 1883\nallow_anonymous true\nuser root\n' },
});

const thermometer = new Container('thermometer', {
  command: `
    while sleep 1; do
      mosquitto_pub -h broker -t "temperature/$HOSTNAME" -m "$(($(date +%s) % 10 + 15))"
    done`,
  replicas: 2,
});

const display = new Container('display', { command: ['mosquitto_sub', '-h', 'broker', '-v', '-t', 'temperature/#'] });

allow([thermometer, display], broker, tcp(1883));

expect(thermometer).cannotReach([thermometer, display]);
