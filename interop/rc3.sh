#!/usr/bin/env bash
# curl through weft's pair of RC3 proxies, beside the same curl over the kernel's cubic and bbr, over an emulated WAN of 50 Mbit/s.
# Arguments: rounds (3), round trips in ms ("80 200"), buffers ("0.25bdp 1bdp 5bdp"), KB ("50 200 400 3000"; "" for no transfers),
# seconds of the competing flow (30; 0 for none).
#
# The link is `weft softnic link` between two namespaces. Each cell is the median of curl's total time in seconds, from its connection
# to the last byte. `rc3, first` is the first transfer of a pair that was just started: it has to find the bottleneck's rate;
# `rc3, next` the one after it. A cell says `failed` where curl does, and where the kernel has not the algorithm.
#
# The competing flow is four clients that ask for 10 KB over kernel TCP, each request in a connection of its own, while a transfer of
# 1 MB begins every half second (a third of the link): none, by cubic, through the proxies without low levels, and with them. Its
# times are from connect to the last byte. WEFT and LINK name the binaries; else one is built.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds="${1:-3}" rtts="${2:-80 200}" buffers="${3:-0.25bdp 1bdp 5bdp}" sizes="${4-50 200 400 3000}" beside="${5:-30}"
[ -n "${WEFT:-}" ] || cargo build --release --quiet -p weft
weft="$(realpath "${WEFT:-${CARGO_TARGET_DIR:-target}/release/weft}")"
link="$(realpath "${LINK:-$weft}")"
"$link" softnic link --help >/dev/null 2>&1 || { echo "interop/rc3.sh: $link has no \`softnic link\`, the emulated link" >&2; exit 1; }
scratch="$(mktemp -d)"
near="wbrc3n$$" far="wbrc3f$$"
jobs_started=()
finish() {
  for pid in "${jobs_started[@]}"; do stop "$pid"; done
  ip netns delete "$near" 2>/dev/null
  ip netns delete "$far" 2>/dev/null
  rm -rf "$scratch"
}
trap 'finish || true' EXIT
in_near() { ip netns exec "$near" "$@"; }
in_far() { ip netns exec "$far" "$@"; }
stop() { # PID
  kill "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}

ip netns add "$near"
ip netns add "$far"
for size in $sizes 10 1000; do head -c "${size}000" /dev/urandom >"$scratch/$size"; done
"$weft" rc3 key "$scratch/key"

median() { sort -n | sed -n "$(((rounds + 1) / 2))p"; }
fetch() { # PORT SIZE [curl's arguments …]
  local port="$1" size="$2"
  shift 2
  in_near curl -sS --max-time 60 -o "$scratch/got" -w '%{time_total}\n' "$@" "http://10.78.0.2:$port/$size" || echo failed
  cmp -s "$scratch/got" "$scratch/$size" || echo "a wrong answer" >&2
}
connect() { # RTT BUFFER: a link, and a web server at its far end
  "$link" softnic link --a tap:wan --a-netns "$near" --b tap:wan --b-netns "$far" \
    --rate 50mbit --delay "$(($1 / 2))ms" --buffer "$2" >"$scratch/link" 2>&1 &
  wan=$!
  jobs_started+=("$wan")
  for _ in $(seq 100); do ip -n "$far" link show wan >/dev/null 2>&1 && ip -n "$near" link show wan >/dev/null 2>&1 && break; sleep 0.1; done
  for end in "$near 1" "$far 2"; do
    set -- $end
    ip -n "$1" link set lo up
    ip -n "$1" address replace "10.78.0.$2/24" dev wan
    ip -n "$1" link set wan up
  done
  sleep 0.3
}

in_far sysctl -qw net.ipv4.tcp_no_metrics_save=1
serve() { # ALGORITHM PORT: a web server whose connections use the algorithm; nothing where the kernel has it not
  ip netns exec "$far" python3 - "$1" "$2" "$scratch" >/dev/null 2>&1 <<'PYTHON' &
import functools, http.server, socket, sys
algorithm, port, directory = sys.argv[1:]
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=directory)
server = http.server.ThreadingHTTPServer(("0.0.0.0", int(port)), handler, bind_and_activate=False)
server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, algorithm.encode())
server.allow_reuse_address = True
server.server_bind()
server.server_activate()
server.serve_forever()
PYTHON
  jobs_started+=($!)
  for _ in $(seq 100); do
    in_far bash -c "exec 3<>/dev/tcp/127.0.0.1/$2" 2>/dev/null && return
    sleep 0.1
  done
}
pair() { # [arguments of both proxies …]: starts them
  ip netns exec "$far" "$weft" rc3 egress --key "$scratch/key" --listen 10.78.0.2:7700 "$@" 2>/dev/null &
  egress=$!
  sleep 0.2
  ip netns exec "$near" "$weft" rc3 proxy --key "$scratch/key" --egress 10.78.0.2:7700 "$@" 2>/dev/null &
  proxy=$!
  jobs_started+=("$egress" "$proxy")
  sleep 1.2
}
unpair() {
  stop "$proxy"
  stop "$egress"
}
compete() { # the competing flow: requests, median and 99th percentile in ms
  in_near python3 - "$beside" <<'PYTHON'
import socket, sys, threading, time
end, times, failed = time.monotonic() + float(sys.argv[1]), [], []
def ask():
    while time.monotonic() < end:
        start, got = time.monotonic(), 0
        try:
            with socket.create_connection(("10.78.0.2", 8001), timeout=20) as server:
                server.sendall(b"GET /10 HTTP/1.0\r\n\r\n")
                while piece := server.recv(65536):
                    got += len(piece)
        except OSError:
            got = 0
        (times if got > 10_000 else failed).append(time.monotonic() - start)
clients = [threading.Thread(target=ask) for _ in range(4)]
for client in clients: client.start()
for client in clients: client.join()
times.sort()
at = lambda share: 1e3 * times[min(int(share * len(times)), len(times) - 1)]
print(f" {len(times)} | {at(0.5):.1f} | {at(0.99):.1f} |" + (f" {len(failed)} failed" if failed else ""), end="")
PYTHON
}
load() { # [curl's arguments …]: begins a transfer every half second, until it is stopped
  mkdir -p "$scratch/loads"
  for number in $(seq "$((2 * beside))"); do
    in_near curl -sS --max-time 60 -o /dev/null -w '%{time_total}\n' "$@" "http://10.78.0.2:8001/1000" >>"$scratch/loads/$number" 2>/dev/null &
    sleep 0.5
  done
  wait
}
row() { # RTT BUFFER NAME [curl's arguments …]: the competing flow beside transfers
  local name="$3"
  printf '| %s | %s | %s |' "$1" "$2" "$name"
  shift 3
  rm -rf "$scratch/loads"
  if [ "$name" != nothing ]; then
    (trap - EXIT; load "$@") &
    loading=$!
    jobs_started+=("$loading")
    sleep 1
  fi
  compete
  local times=-
  if [ "$name" != nothing ]; then
    wait "$loading" || true
    times="$(cat "$scratch"/loads/* | rounds="$((2 * beside))" median)"
  fi
  printf ' %s |\n' "$times"
}

ip -n "$far" link set lo up
serve cubic 8001
serve bbr 8002
[ -z "$sizes" ] || echo "| RTT, ms | buffer | KB | cubic | bbr | rc3, first | rc3, next |"
[ -z "$sizes" ] || echo "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
for rtt in $rtts; do
  for buffer in $buffers; do
    connect "$rtt" "$buffer"
    fetch 8001 10 >/dev/null # the first has neighbours to find
    for size in $sizes; do
      printf '| %s | %s | %s |' "$rtt" "$buffer" "$size"
      for port in 8001 8002; do printf ' %s |' "$(for _ in $(seq "$rounds"); do fetch "$port" "$size"; done | median)"; done
      : >"$scratch/first"
      : >"$scratch/next"
      for _ in $(seq "$rounds"); do
        pair
        fetch 8001 "$size" -x socks5h://127.0.0.1:1080 >>"$scratch/first"
        fetch 8001 "$size" -x socks5h://127.0.0.1:1080 >>"$scratch/next"
        unpair
      done
      printf ' %s | %s |\n' "$(median <"$scratch/first")" "$(median <"$scratch/next")"
    done
    stop "$wan"
  done
done

[ "$beside" != 0 ] || exit 0
echo
echo "| RTT, ms | buffer | beside | requests | median, ms | p99, ms | transfers, median s |"
echo "| ---: | ---: | --- | ---: | ---: | ---: | ---: |"
for rtt in $rtts; do
  for buffer in $buffers; do
    connect "$rtt" "$buffer"
    fetch 8001 10 >/dev/null
    row "$rtt" "$buffer" nothing
    row "$rtt" "$buffer" cubic
    pair --no-low
    row "$rtt" "$buffer" "proxies without low levels" -x socks5h://127.0.0.1:1080
    unpair
    pair
    row "$rtt" "$buffer" rc3 -x socks5h://127.0.0.1:1080
    unpair
    stop "$wan"
  done
done
