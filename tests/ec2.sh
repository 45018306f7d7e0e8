#!/usr/bin/env bash
# Puts Amazon's EC2 API in place as moto serves it, once, and prints where its programs are.
#
# It comes from PyPI into the target directory, with what it depends on; nothing of it is in this repository. Several
# tests may ask at once.
set -euo pipefail

moto=5.2.5
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
place="${CARGO_TARGET_DIR:-$here/../target}/tools/moto-$moto"
mkdir -p "$place"

exec 9>"$place.lock"
flock 9
if [ ! -e "$place/complete" ]; then
  {
    python3 -m venv --clear "$place"
    "$place/bin/pip" install --quiet --disable-pip-version-check "moto[ec2,iam,server]==$moto"
  } >&2 || {
    echo "moto could not be installed from PyPI; Debian and Ubuntu need: sudo apt-get install python3-venv" >&2
    exit 1
  }
  touch "$place/complete"
fi
echo "$place/bin"
