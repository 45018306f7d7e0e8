#!/usr/bin/env bash
# Puts in place what the tests and measurements need beyond Rust: `tests/install.sh [test|bench]`.
#
# Debian and Ubuntu packages, installed only where missing. As root it installs; otherwise it says what to
# install and fails, because a test that quietly does not run is worse than one that fails. Services that come
# with the packages are not started: the tests start their own, in their own namespaces.
set -euo pipefail

# The one list. Package, then the program or file (or pattern of one) it must put in place.
test_packages=(
  "iproute2 ip"                 # peers: links, routes and namespaces as the kernel sees them
  "iputils-ping ping"           # peers: gateways answer ping
  "tcpdump tcpdump"             # peers: our pcap files and checksums, judged by another
  "traceroute traceroute"       # netbricks: the hops of a path through our translators and routers
  "curl curl"                   # peers: published ports and service addresses
  "iperf3 iperf3"               # load between containers
  "nginx-light nginx"           # examples that run real programs
  "redis-server redis-server"   # examples that run real programs
  "haproxy haproxy"             # and the further ones
  "mariadb-client-core mariadb"
  "mariadb-server-core mariadbd"
  "mosquitto mosquitto"
  "mosquitto-clients mosquitto_sub"
  "python3-django /usr/lib/python3/dist-packages/django/__init__.py"
  "python3-redis /usr/lib/python3/dist-packages/redis/__init__.py"
  "openssl openssl"             # certificates for OpenFlow under TLS
  "nftables nft"                # a second opinion on what passes
  "ethtool ethtool"             # offloads of the interfaces we make
  "openvswitch-common ovs-ofctl" # OpenFlow messages of ours, read by another
  "python3-venv /usr/lib/python3*/ensurepip" # os-ken, which judges them too (tests/pypi.sh)
  "g++ g++"                     # ns-3's TCP, which judges ours (tests/pypi.sh)
  "npm npm"                     # the schemas of the Gateway API (tests/kubernetes.sh)
  "openvswitch-switch ovs-vswitchd" # the switches that the controller drives, userspace datapath
  "iputils-arping arping"       # hosts that announce themselves, or ask for nobody
  "busybox busybox"             # a DHCP client of another's
  "graphviz dot"                # drawings of blueprints (quilt inspect)
  "runc runc"                   # another one starts the commands of containers (weft up --runtime runc)
  "skopeo skopeo"               # images: copies ours between formats, and packs them by zstd
  "umoci umoci"                 # images: layouts and layers of another's
  "bird2 bird"                  # a router that speaks RIP, of another's
  "python3-dev /usr/include/python3*/Python.h" # Faucet's dependencies are compiled (tests/pypi.sh)
  "util-linux setpriv"          # running a test as an ordinary user
  "openvswitch-testcontroller ovs-testcontroller" # OpenFlow: our switch under a controller in C
  "dpdk-dev dpdk-test-acl"      # access control lists, judged result by result
  "dpdk-dev dpdk-testpmd"       # ports: a memif peer (the package brings its driver, librte-net-memif)
  "mininet mn"                  # OpenFlow: networks and hosts of another's for the controller
  "tcpflow tcpflow"             # reassembled streams, judged byte by byte
  "tshark tshark"               # the same, and what TCP connections are like
)
bench_packages=(
  "dpdk-dev dpdk-testpmd"            # the packet forwarder the network functions are measured beside
  "openvswitch-switch-dpdk /usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk" # its datapath in memory
  "valgrind valgrind"                # counts instructions
  "sockperf sockperf"                # what the kernel alone takes to carry a message there and back
  "pkgconf pkg-config"               # finds DPDK's headers
  "libdpdk-dev /usr/include/dpdk/rte_lpm.h" # the prefix table that ours is measured beside
)

packages=("${test_packages[@]}")
[ "${1:-test}" = bench ] && packages+=("${bench_packages[@]}")

PATH="$PATH:/usr/sbin:/sbin"
missing=()
for entry in "${packages[@]}"; do
  read -r package program <<<"$entry"
  command -v "$program" >/dev/null || compgen -G "$program" >/dev/null || missing+=("$package")
done
command -v cc >/dev/null || missing+=(build-essential)

[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "missing: ${missing[*]}" >&2
  echo "install them (Debian, Ubuntu): sudo apt-get install ${missing[*]}" >&2
  exit 1
fi

# policy-rc.d is how Debian asks whether a package may start its services: 101 forbids it. One that is already
# there (containers ship one) is left alone.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
fi

echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get install --yes --quiet=2 --no-install-recommends "${missing[@]}" >/dev/null 2>&1 || {
  apt-get update --quiet=2
  apt-get install --yes --quiet=2 --no-install-recommends "${missing[@]}" >/dev/null
}
