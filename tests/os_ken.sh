#!/usr/bin/env bash
# Puts os-ken in place, once, and prints its Python: `"$(tests/os_ken.sh)" -c 'import os_ken'`.
#
# os-ken is an OpenFlow controller and message library in Python, which judges ours. It comes from PyPI into the
# target directory, with what it depends on; nothing of it is in this repository. Several tests may ask at once.
set -euo pipefail

version=4.2.2
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
place="${CARGO_TARGET_DIR:-$here/../target}/tools/os-ken-$version"
mkdir -p "$place"

exec 9>"$place.lock"
flock 9
if [ ! -e "$place/complete" ]; then
  {
    python3 -m venv --clear "$place"
    "$place/bin/pip" install --quiet --disable-pip-version-check "os-ken==$version"
  } >&2 || {
    echo "os-ken $version could not be installed from PyPI; Debian and Ubuntu need: sudo apt-get install python3-venv" >&2
    exit 1
  }
  touch "$place/complete"
fi
echo "$place/bin/python"
