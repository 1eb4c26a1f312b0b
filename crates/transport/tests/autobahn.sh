#!/bin/sh
# Runs the Autobahn conformance suite against the WebSocket codec. Usage: autobahn.sh
#
# Once with room for its largest messages, and once, without those, with the limit that the server has by
# default. Compression (12, 13) is not offered. Every case must be OK; NON-STRICT is a failure. The suite
# comes from PyPI and is installed into target/autobahn; the reports stay there.
set -eu

cd "$(dirname "$0")/../../.."
target="${CARGO_TARGET_DIR:-target}"
work="$target/autobahn"
server=

stop() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    server=
}
trap stop EXIT INT TERM

# start MESSAGE_BYTES: an echo server on a free port; its address is in $work/address.
start() {
    : >"$work/address"
    "$target/debug/examples/echo" 127.0.0.1:0 "$1" >"$work/address" &
    server=$!
    tries=0
    until [ -s "$work/address" ]; do
        tries=$((tries + 1))
        if [ "$tries" -gt 100 ] || ! kill -0 "$server" 2>/dev/null; then
            echo "the echo server did not start" >&2
            exit 1
        fi
        sleep 0.1
    done
}

# run MESSAGE_BYTES CASES OPTION...: so many cases, chosen by the options, must be OK.
run() {
    bytes=$1 cases=$2
    shift 2
    report="$work/report-$bytes"
    rm -rf "$report"
    start "$bytes"
    "$work/venv/bin/kosoku" --mode fuzzingclient "$@" --parallelism 2 --outdir "$report" \
        "$(cat "$work/address")" >"$work/log" 2>&1 || tail -40 "$work/log" >&2
    stop
    python3 - "$report/index.json" "$bytes" "$cases" <<'EOF'
import collections, json, sys

path, limit, expected = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
cases = {k: v for agent in json.load(open(path)).values() for k, v in agent.items()}
verdicts = collections.Counter(case["behavior"] for case in cases.values())
bad = [k for k, v in cases.items() if {v["behavior"], v["behaviorClose"]} - {"OK", "INFORMATIONAL"}]
summary = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
print(f"limit {limit}: {len(cases)} cases, {summary}")
if bad or len(cases) != expected:
    sys.exit(f"expected {expected} cases; not OK: {' '.join(bad) or 'none'}")
EOF
}

mkdir -p "$work"
if [ ! -x "$work/venv/bin/kosoku" ]; then
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check kosoku==0.1.0
fi
cargo build --quiet --package cuttlebone-transport --example echo

run 67108864 301 --exclude '12.*' --exclude '13.*'
run 262144 247 --exclude '9.*' --exclude '12.*' --exclude '13.*'
