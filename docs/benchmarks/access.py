#!/usr/bin/env python3
"""What it costs to be asked who one is: the CPU of a session (a device and a client connect, meet and close) and of a round trip
(two forwards), of servers that serve anybody, ask for a static token, or for a JWT (ES256) that they have verified before; and of one
that serves anybody and writes an audit log.

The servers run side by side and have their turns in each round, so that what else the machine does hits all of them. With
--instructions each runs under valgrind instead, which counts the instructions of the program itself: steady on a busy machine,
and without the kernel, whose share makes the ratio smaller. Needs openssl, and valgrind for that.
"""

import argparse
import base64
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

KINDS = ["anonymous", "static", "jwt", "audit"]


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(folder):
    """A token that a key made for it has signed; the key's public half is beside it."""
    key = folder / "key.pem"
    openssl = lambda *args, **more: subprocess.run(["openssl", *args], check=True, capture_output=True, **more).stdout
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(key))
    (folder / "public.pem").write_bytes(openssl("ec", "-in", str(key), "-pubout"))
    claims = {
        "iss": "https://login.example",
        "sub": "bench",
        "exp": int(time.time()) + 86_400,
        "cuttlebone_roles": ["device", "client"],
        "cuttlebone_devices": "*",
    }
    message = b64(json.dumps({"alg": "ES256"}).encode()) + "." + b64(json.dumps(claims).encode())
    der = openssl("dgst", "-sha256", "-sign", str(key), input=message.encode())
    # SEQUENCE of two INTEGERs, which JWS wants as 32 bytes each.
    first = der[4 : 4 + der[3]]
    second = der[6 + der[3] :]
    signature = b"".join(number.lstrip(b"\0").rjust(32, b"\0") for number in (first, second))
    return message + "." + b64(signature)


def prepare(program, folder, kind):
    """The configuration of a server of this kind, and what to show it."""
    common = pathlib.Path("examples/benchmark.toml").read_text()
    config, token = folder / f"{kind}.toml", folder / f"{kind}.token"
    access = ""
    if kind == "static":
        tokens = folder / "tokens"
        new = [program, "token", "new", "--name", "bench", "--role", "device,client", "--devices", "*"]
        made = subprocess.run([*new, "--append-to", str(tokens)], check=True, capture_output=True, text=True)
        token.write_text(made.stdout)
        access = f'[access]\ntokens_file = "{tokens}"\n'
    if kind == "jwt":
        token.write_text(signed(folder) + "\n")
        access = f'[[access.jwt]]\nissuer = "https://login.example"\nkeys_file = "{folder}/public.pem"\n'
    if kind == "audit":
        access = f'[audit]\nfile = "{folder}/audit.jsonl"\n'
    token.exists() and token.chmod(0o600)
    config.write_text(common + access)
    return config, ["--token-file", str(token)] if token.exists() else []


class Server:
    def __init__(self, command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if "listening on" not in line:
            sys.exit(self.process.stderr.read())
        self.url = line.split()[-1].replace("http", "ws", 1)
        # Nobody is held up if it is not read; what valgrind says is at the end.
        self.pid = str(self.process.pid)

    def stop(self):
        self.process.terminate()
        return self.process.communicate()[1]


def load(loadgen, folder, scenario, server, token, *args):
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    command = [loadgen, scenario, "--url", server.url, "--pid", server.pid, *token, *args, "--json", str(report)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)
    return json.loads(report.read_text())


def find(report, key):
    """The value of a key, wherever in the report it is."""
    found = re.search(rf'"{key}": ?([0-9.]+)', json.dumps(report))
    return float(found.group(1))


def times(options, folder, prepared):
    serve = ["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "", "--log-level", "warn"]
    servers = {}
    for kind, (config, _) in prepared.items():
        servers[kind] = Server([options.server, *serve, "--config", str(config)])
    churn = ["--messages", "0", "--rate", str(options.rate), "--duration", str(options.duration)]
    pairs = ["--pairs", "20", "--warmup", "0.5", "--duration", str(options.duration)]
    seen = {"session": {kind: [] for kind in KINDS}, "forward": {kind: [] for kind in KINDS}}
    for turn in range(options.rounds):
        # Another one begins each round.
        for kind in KINDS[turn % len(KINDS) :] + KINDS[: turn % len(KINDS)]:
            token = prepared[kind][1]
            session = find(load(options.loadgen, folder, "churn", servers[kind], token, *churn), "us_per_session")
            forward = find(load(options.loadgen, folder, "pairs", servers[kind], token, *pairs), "us_per_forward")
            seen["session"][kind].append(session)
            seen["forward"][kind].append(forward)
    for server in servers.values():
        server.stop()
    for what, by_kind in seen.items():
        for kind in KINDS:
            ratios = [mine / base for mine, base in zip(by_kind[kind], by_kind["anonymous"])]
            middle = statistics.median(by_kind[kind])
            spread = f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
            print(f"{what:8} {kind:10} {middle:9.2f} us   ratio {spread}", flush=True)


def instructions(options, folder, prepared):
    """The difference between a short run and a long one is what sessions cost: the start of the program is in both."""
    of_session = {}
    for kind in KINDS:
        config, token = prepared[kind]
        counted = []
        for sessions in (20, 20 + options.sessions):
            command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", options.server]
            server = Server([*command, "serve", "--listen", "127.0.0.1:0", "--metrics-listen", "", "--config", str(config)])
            args = ["--messages", "0", "--rate", "10", "--duration", str(sessions / 10), "--at-once", "1"]
            report = load(options.loadgen, folder, "churn", server, token, *args)
            collected = re.search(r"Collected : (\d+)", server.stop())
            counted.append((int(report["completed"]), int(collected.group(1))))
        (few, start), (many, end) = counted
        of_session[kind] = (end - start) / (many - few)
        print(f"{kind:10} {of_session[kind]:12.0f} instructions a session   ratio {of_session[kind] / of_session['anonymous']:.3f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default="target/release/cuttlebone")
    parser.add_argument("--loadgen", default="target/release/loadgen")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--duration", type=float, default=5)
    parser.add_argument("--rate", type=int, default=400, help="sessions a second")
    parser.add_argument("--instructions", action="store_true", help="count instructions under valgrind")
    parser.add_argument("--sessions", type=int, default=200, help="with --instructions: sessions that are counted")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        prepared = {kind: prepare(options.server, folder, kind) for kind in KINDS}
        (instructions if options.instructions else times)(options, folder, prepared)


main()
