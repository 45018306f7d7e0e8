#!/usr/bin/env bash
# Puts the judges of Kubernetes manifests in place, once, and prints where their programs are.
#
# kubernetes-validate holds manifests against the API's schemas; network-config-analyzer (nca) computes which pod may
# reach which. They come from PyPI into the target directory, with what they depend on. The schemas of the Gateway API
# (its own definitions, release 1.0.0, experimental channel) come from npm, into gateway-api beside the programs.
# Nothing of them is in this repository. Several tests may ask at once.
set -euo pipefail

validate=1.37.0
nca=2.1.0
gateway=0.5.1
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
place="${CARGO_TARGET_DIR:-$here/../target}/tools/kubernetes-$validate-$nca-$gateway"
mkdir -p "$place"

exec 9>"$place.lock"
flock 9
if [ ! -e "$place/complete" ]; then
  {
    python3 -m venv --clear "$place"
    "$place/bin/pip" install --quiet --disable-pip-version-check \
      "kubernetes-validate==$validate" "network-config-analyzer==$nca"
  } >&2 || {
    echo "kubernetes-validate and network-config-analyzer could not be installed from PyPI; Debian and Ubuntu need: sudo apt-get install python3-venv" >&2
    exit 1
  }
  {
    npm pack --silent --pack-destination "$place" "@kubernetes-models/gateway-api@$gateway" >/dev/null
    mkdir -p "$place/bin/gateway-api"
    tar -xzf "$place/kubernetes-models-gateway-api-$gateway.tgz" -C "$place/bin/gateway-api" --strip-components 1
  } >&2 || {
    echo "the schemas of the Gateway API could not be had from npm; Debian and Ubuntu need: sudo apt-get install npm" >&2
    exit 1
  }
  touch "$place/complete"
fi
echo "$place/bin"
