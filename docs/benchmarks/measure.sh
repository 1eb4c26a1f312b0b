#!/usr/bin/env bash
# Measures what docs/BENCHMARKS.md tells: `docs/benchmarks/measure.sh [NAME…]`, all without a name. Reports (JSON) go to
# target/benchmarks, charts to docs/benchmarks. A server is started anew for each. Best on a machine that does nothing else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
reports=target/benchmarks
mkdir -p "$reports"
cargo build --release --locked -p cuttlebone -p cuttlebone-loadgen
address=127.0.0.1:8099
server=

serve() { # serve [FLAG…]: starts a server and waits until it listens
    : >"$reports/server.out"
    target/release/cuttlebone serve --config examples/benchmark.toml --listen "$address" --metrics-listen 127.0.0.1:0 "$@" \
        >"$reports/server.out" 2>"$reports/server.log" &
    server=$!
    until grep -q listening "$reports/server.out"; do
        kill -0 "$server" || { cat "$reports/server.log"; exit 1; }
        sleep 0.1
    done
}

stop() {
    [ -n "$server" ] || return 0
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    server=
}
trap stop EXIT

measure() { # measure NAME SCENARIO [ARG…]: a table on the screen, a report, a chart where there is one
    local name=$1
    shift
    echo "== $name: loadgen $*"
    target/release/loadgen "$@" --json "$reports/$name.json" | tee "$reports/$name.txt" || echo "($name: faults)"
    target/release/loadgen chart --from "$reports/$name.json" --out "docs/benchmarks/$name.svg" || true
}

plain=ws://$address
tls=wss://$address
load=(--pairs 50 --payload 1500 --duration 4 --rounds 5)

ratio_1() { serve; measure ratio-1 ratio --url $plain --pid $server "${load[@]}" --in-flight 1; stop; }
ratio_16() { serve; measure ratio-16 ratio --url $plain --pid $server "${load[@]}" --in-flight 16; stop; }
ratio_tls_1() { serve --tls self-signed; measure ratio-tls-1 ratio --url $tls --insecure --pid $server "${load[@]}" --in-flight 1; stop; }
ratio_tls_16() { serve --tls self-signed; measure ratio-tls-16 ratio --url $tls --insecure --pid $server "${load[@]}" --in-flight 16; stop; }
idle() { serve; measure idle idle --url $plain --pid $server --connections 15000 --connect-rate 3000; stop; }
idle_relay() { serve; measure idle-relay idle --url $plain --pid $server --connections 15000 --connect-rate 3000 --relay; stop; }
idle_tls() { serve --tls self-signed; measure idle-tls idle --url $tls --insecure --pid $server --connections 15000 --connect-rate 1000; stop; }
storm_memory() { # a server that has just started, and the same again
    serve
    measure memory memory --url $plain --pid $server --connections 15000 --waves 1 --recover 30
    measure memory-again memory --url $plain --pid $server --connections 15000 --waves 1 --recover 30
    stop
}
register() { serve; measure register register --url $plain --pid $server --devices 10000 --beside-pairs 50; stop; }
curve() { serve; measure curve curve --url $plain --pid $server --counts 10,100,1000,8500 --rate 5000 --connect-rate 2000 --duration 5 --rounds 3; stop; }
saturate() { serve; measure saturate saturate --url $plain --pid $server --pairs 50 --sizes session --rounds 3 --duration 6; stop; }
hostile() { # a server that has just started, and the same again
    local attack=(--connections 1000 --pace-ms 400 --quiet 20 --duration 20 --beside-pairs 10 --recover 60)
    serve
    measure hostile hostile --url $plain --pid $server "${attack[@]}"
    measure hostile-again hostile --url $plain --pid $server "${attack[@]}"
    stop
}
viewer() { serve; measure isolation-viewer isolation viewer --url $plain --pid $server --clients 63 --rate 1000 --rounds 5 --duration 5; stop; }
address() {
    export CUTTLEBONE__CONNECTIONS__PER_ADDRESS_PER_SECOND=20 CUTTLEBONE__LIMITS__CLIENT_MESSAGES_PER_SECOND=50
    serve
    measure isolation-address isolation address --url $plain --pid $server --pairs 40 --rate 1000 --rounds 5 --duration 5
    stop
    unset CUTTLEBONE__CONNECTIONS__PER_ADDRESS_PER_SECOND CUTTLEBONE__LIMITS__CLIENT_MESSAGES_PER_SECOND
}
resume() { serve; measure resume resume --url $plain --pid $server --clients 1000 --rate 500 --rounds 3; stop; }
restart() { # the scenario starts the server itself
    local command="target/release/cuttlebone serve --config examples/benchmark.toml --listen $address --metrics-listen 127.0.0.1:0"
    export CUTTLEBONE__CLIENTS__RESUME_KEY=a-key-for-benchmarks-of-32-bytes-or-more
    measure restart restart --url $plain --command "$command" --signal term --clients 500 --rate 500 --rounds 3
    measure crash restart --url $plain --command "$command" --signal kill --clients 100 --devices 9700 --connect-rate 3000 --rate 200 --rounds 2 --pause 12
    unset CUTTLEBONE__CLIENTS__RESUME_KEY
}
access() { # who one is, and the audit log: CPU of a session and of a forward, and instructions where the machine is busy
    docs/benchmarks/access.py | tee "$reports/access.txt"
    docs/benchmarks/access.py --instructions | tee "$reports/access-instructions.txt"
}

all=(ratio_1 ratio_16 ratio_tls_1 ratio_tls_16 idle idle_relay idle_tls storm_memory register curve saturate hostile viewer address resume restart access)
[ $# -gt 0 ] || set -- "${all[@]}"
for name; do "$name"; done
