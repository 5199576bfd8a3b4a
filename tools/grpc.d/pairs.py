"""The cases with pairs of clients and servers: grpcio's, and Go's if it has been built."""

import subprocess
import time

import cases
import service
from balancer import Balancer
from harness import table
from peers import PATIENCE, Server


def impatient(servers, ports, authority, closed):
    """The configuration: with routes whose timeouts are short, and some to nowhere."""
    names = {"Refused": "off", "Down": "grpc"}
    endpoints = ", ".join(f"'{server.endpoint}'" for server in servers)
    return [
        f"listen: [127.0.0.1:{ports['plain']}]",
        f"listen_tls: [127.0.0.1:{ports['tls']}]",
        "certificates: [{cert: cert.pem, key: key.pem}]",
        "trusted: [127.0.0.0/8]",
        "access_log_format: json",
        "upstreams:",
        f"  - {{name: calls, endpoints: [{endpoints}], check: grpc, ca: {authority.cert}}}",
        *(f"  - {{name: {name}, endpoints: ['h2c://127.0.0.1:{closed}'], check: {check}}}" for name, check in names.items()),
        "routes:",
        f"  - {{prefix: /{service.SERVICE}, upstream: calls}}",
        f"  - {{prefix: /{service.IMPATIENT}, upstream: calls, response_timeout: 300ms, idle_timeout: 300ms}}",
        *(f"  - {{prefix: /evener.{name}, upstream: {name}}}" for name in names),
    ]


def play(evener, work, servers, identities, free, go):
    """Runs the cases with these servers, and with two of Go's; returns the number of those that failed."""
    failed = with_servers(evener, work / "cases", servers, identities, free, go)
    if go:
        words = [go, "serve"]
        shown = identities[0][0]
        of_go = [
            Server(work, "Go h2c", next(free), program=words), Server(work, "Go h2", next(free), shown, program=words)
        ]
        try:
            failed += with_servers(evener, work / "cases.go", of_go, identities, free, go)
        finally:
            for server in of_go:
                server.end()
    return failed


def with_servers(evener, folder, servers, identities, free, go):
    shown, authority = identities
    folder.mkdir()
    ports = {name: next(free) for name in ("plain", "tls")}
    lines = impatient(servers, ports, authority, next(free))
    balancer = Balancer(evener, folder, lambda _: lines, shown)
    time.sleep(2)  # a check has failed by then
    try:
        targets = {"plain": f"127.0.0.1:{ports['plain']}", "TLS": f"localhost:{ports['tls']}"}
        columns = cases.run(targets, servers, authority.cert)
        if go:
            for name, target in targets.items():
                trusted = [authority.cert] if name == "TLS" else []
                columns[name]["client of Go"] = call([go, "call", target, *trusted])
    finally:
        balancer.end()
    print(f"\nservers: {', '.join(server.name for server in servers)}\n{table(columns)}\n")
    return sum(row != "ok" for rows in columns.values() for row in rows.values())


def call(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=3 * PATIENCE)
    result = f"FAIL {done.stdout.strip()[:500]}" if done.returncode else "ok"
    print(f"client of Go: {result}", flush=True)
    return result
