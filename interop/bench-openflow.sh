#!/usr/bin/env bash
# OpenFlow controllers side by side: weft's with l2_learning, Open vSwitch's ovs-testcontroller, os-ken with a learning
# switch, each under `weft openflow bench`. Arguments: seconds of each measurement (5).
#
# Each controller has one CPU, the load generator the other. Responses per CPU-second are those of the controller's
# process, whatever else the machine does. A cell without a number: not all switches came up within a minute, or no
# response came.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds="${1:-5}"
cargo build --release --quiet -p weft
weft="${CARGO_TARGET_DIR:-target}/release/weft"
python="$(tests/pypi.sh os-ken)/python"
scratch="$(mktemp -d)"
controller=
stop() {
  [ -z "$controller" ] || { kill "$controller" 2>/dev/null && wait "$controller" 2>/dev/null; } || true
  controller=
}
trap 'stop; rm -rf "$scratch"' EXIT

port=16653
start() { # NAME: a controller on 127.0.0.1:$port, a new one each time
  stop
  port=$((port + 1))
  case "$1" in
    weft) exec taskset -c 0 "$weft" pox openflow.of_01 --address=127.0.0.1 --port=$port forwarding.l2_learning ;;
    ovs-testcontroller) OVS_RUNDIR="$scratch" exec taskset -c 0 ovs-testcontroller "ptcp:$port:127.0.0.1" ;;
    kernel) exec taskset -c 0 sockperf server --tcp -i 127.0.0.1 -p $port ;;
    os-ken) OSKEN_HUB_TYPE=eventlet exec taskset -c 0 "$python" crates/weft/tests/openflow_switch/l2.py $port 1.0 ;;
  esac >"$scratch/$1" 2>&1 &
  controller=$!
  for _ in $(seq 100); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return
    sleep 0.1
  done
}
bench() { # FIELD [ARGUMENT …]
  local field="$1"
  shift
  { timeout 60 taskset -c 1 "$weft" openflow bench "tcp:127.0.0.1:$port" --pid "$controller" --json "$@" 2>/dev/null || true; } |
    python3 -c 'import json, sys
told, value = json.loads(sys.stdin.read() or "{}"), None
for name in sys.argv[1].split(","):
    value = told
    for part in name.split("."):
        value = value.get(part) if value else None
    print("%.*f" % (0 if value and value >= 1000 else 1, value) if value else "", end=" | ")' "$field"
}

rates="responses_per_cpu_s,responses_per_s"
echo "| controller | 1 switch, per CPU-second | per second | 16 switches, per CPU-second | per second | 1,000 switches, per CPU-second | per second | p50, us | p99, us | max, us | fat tree of k = 46 up, ms |"
echo "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
for name in weft ovs-testcontroller os-ken; do
  printf '| %s | ' "$name"
  for switches in 1 16 1000; do
    start "$name"
    bench "$rates" --switches "$switches" --hosts 100 --warm-up 2s --duration "${seconds}s"
  done
  start "$name"
  bench latency_us.p50,latency_us.p99,latency_us.max --mode latency --hosts 100 --duration "${seconds}s"
  start "$name"
  # A fat tree of k = 46: 5/4 k² switches of k ports each.
  bench connect_ms --switches 2645 --ports 46 --duration 0s
  echo
done

# What the kernel alone takes from one process to the other and back, with messages of a packet-in's size.
start kernel
taskset -c 1 sockperf ping-pong --tcp -i 127.0.0.1 -p "$port" -m 90 -t "$seconds" --full-rtt 2>/dev/null |
  python3 -c 'import re, sys
told = dict(re.findall(r"percentile (\S+) = +(\S+)", sys.stdin.read()))
print("| the kernel alone, by sockperf | | | | | | |", told["50.000"], "|", told["99.000"], "| | |")'
