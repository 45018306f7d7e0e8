// How fast the network between containers is: a server, and two clients of which one has a fiftieth of a core.
//
//   apt-get install iperf3
//   weft up examples/iperf3.js
//   weft logs -f fast slow      # bits per second, every two seconds
//   weft top                    # the same, as the dataplane counts it
//   weft exec fast -- iperf3 -c server-1 -p 5202      # refused: that is the port of the other
//
// It shows limits (where cgroups allow them), arguments (weft up examples/iperf3.js --arg seconds=10), and a function
// that makes one pair after the other.

import { Container, allow, args, deployment } from 'weft';

deployment({ name: 'iperf3' });

const seconds = Number(args.seconds ?? 2);

function pair(name, port, options = {}) {
  const server = new Container(`server-${port - 5200}`, { command: ['iperf3', '-s', '-p', port] });
  const client = new Container(name, {
    command: `while sleep 1; do iperf3 -c ${server.hostname} -p ${port} -t ${seconds} -f m | grep receiver; done`,
    ...options,
  });
  // Both protocols: iperf3 -u measures datagrams, and agrees on them over TCP.
  allow(client, server, port);
}

pair('fast', 5201);
pair('slow', 5202, { cpu: 0.02 });
