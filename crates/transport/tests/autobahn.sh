#!/bin/sh
# Runs the Autobahn conformance suite against the WebSocket codec. Usage: autobahn.sh
#
# Without compression (12, 13) every case must be OK; NON-STRICT is a failure. The suite itself comes from
# PyPI and is installed into target/autobahn. The report is left in target/autobahn/report.
set -eu

cd "$(dirname "$0")/../../.."
work="${CARGO_TARGET_DIR:-target}/autobahn"
suite="$work/venv/bin/kosoku"
limit=67108864

mkdir -p "$work"
if [ ! -x "$suite" ]; then
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check kosoku==0.1.0
fi

cargo build --quiet --package cuttlebone-transport --example echo
"${CARGO_TARGET_DIR:-target}/debug/examples/echo" 127.0.0.1:0 "$limit" >"$work/address" &
server=$!
trap 'kill "$server" 2>/dev/null || true' EXIT INT TERM

tries=0
until [ -s "$work/address" ]; do
    tries=$((tries + 1))
    if [ "$tries" -gt 100 ] || ! kill -0 "$server" 2>/dev/null; then
        echo "the echo server did not start" >&2
        exit 1
    fi
    sleep 0.1
done

rm -rf "$work/report"
"$suite" --mode fuzzingclient --exclude '12.*' --exclude '13.*' --parallelism 2 \
    --outdir "$work/report" "$(cat "$work/address")" >"$work/log" 2>&1 || {
    tail -40 "$work/log" >&2
    exit 1
}

python3 - "$work/report/index.json" <<'EOF'
import collections, json, sys

cases = {k: v for agent in json.load(open(sys.argv[1])).values() for k, v in agent.items()}
verdicts = collections.Counter(case["behavior"] for case in cases.values())
bad = [k for k, v in cases.items() if {v["behavior"], v["behaviorClose"]} - {"OK", "INFORMATIONAL"}]
print(f"{len(cases)} cases:", ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items())))
if bad or len(cases) < 301:
    sys.exit(f"not OK: {' '.join(bad) or 'cases are missing'}")
EOF
