#!/usr/bin/env bash
# Puts Faucet in place, once, and prints its program: `"$(tests/faucet.sh)" --help`.
#
# Faucet is an OpenFlow 1.3 controller that networks run on, which drives our switch. It comes from PyPI into the target
# directory, with what it depends on; nothing of it is in this repository. Several tests may ask at once.
set -euo pipefail

version=1.10.12
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
place="${CARGO_TARGET_DIR:-$here/../target}/tools/faucet-$version"
mkdir -p "$place"

exec 9>"$place.lock"
flock 9
if [ ! -e "$place/complete" ]; then
  {
    python3 -m venv --clear "$place"
    "$place/bin/pip" install --quiet --disable-pip-version-check "faucet==$version"
  } >&2 || {
    echo "faucet $version could not be installed from PyPI; Debian and Ubuntu need: sudo apt-get install python3-venv python3-dev" >&2
    exit 1
  }
  touch "$place/complete"
fi
echo "$place/bin/faucet"
