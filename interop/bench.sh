#!/usr/bin/env bash
# The network, veth and scale tables of `make bench`: builds weft and the benchmark for speed, then measures.
# Arguments go to `interop net`: interop/bench.sh --seconds 10 --rounds 5
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --quiet -p weft -p interop
interop="${CARGO_TARGET_DIR:-target}/release/interop"
"$interop" net "$@"
"$interop" veth
"$interop" scale --containers 100,1000
