#!/usr/bin/env bash
# Puts a program or library in Python in place, once, and prints where its programs are: `"$(tests/pypi.sh os-ken)/python"`.
#
# It comes from PyPI into the target directory, with what it depends on; nothing of it is in this repository. Several
# tests may ask at once.
set -euo pipefail

name="${1:?os-ken, faucet, grpcio, moto, ns3 or topohub}"
extras= options=
case "$name" in
  os-ken) version=4.2.2 ;;   # a controller and message library, which judges ours
  grpcio) version=1.85.3 ;;  # a gRPC client that nobody here wrote
  faucet) version=1.10.12 ;; # an OpenFlow 1.3 controller that networks run on, which drives our switch
  moto) version=5.2.5 extras='[ec2,iam,server]' ;; # Amazon's EC2 API
  # A simulator: its libraries and headers, for programs in C++. What it depends on is for Python alone, and takes two minutes to build.
  ns3) version=3.44.post0 options=--no-deps ;;
  topohub) version=1.5.1 ;;  # 707 graphs of networks: data, of which no program runs
  *)
    echo "$name: os-ken, faucet, grpcio, moto, ns3 and topohub are what the tests use" >&2
    exit 2
    ;;
esac
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
place="${CARGO_TARGET_DIR:-$here/../target}/tools/$name-$version"
mkdir -p "$place"

exec 9>"$place.lock"
flock 9
if [ ! -e "$place/complete" ]; then
  {
    python3 -m venv --clear "$place"
    "$place/bin/pip" install --quiet --disable-pip-version-check $options "$name$extras==$version"
  } >&2 || {
    echo "$name $version could not be installed from PyPI; Debian and Ubuntu need: sudo apt-get install python3-venv python3-dev" >&2
    exit 1
  }
  touch "$place/complete"
fi
echo "$place/bin"
