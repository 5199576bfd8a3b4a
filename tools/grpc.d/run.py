"""Calls of gRPC through an Evener that is reloaded and upgraded, and whose endpoints are killed: see tools/grpc."""

import argparse
import itertools
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pairs
import service
from balancer import Balancer
from harness import catch_signals, table
from peers import PATIENCE, Client, Server
from pki import Authority
from ports import free_ports
from progress import Progress

CLIENTS = 2
UNTOLD = "Internal error from Core"  # grpcio's, of a call that ends while it writes: it has not read the status
PAUSE = 0.25  # s, between two changes
DOWN = 1.5  # s, for which a killed server is away
os.environ["GRPC_VERBOSITY"] = "NONE"


@dataclass
class Account:
    """What has become of the calls."""

    well: Counter
    # Given to a server that was killed before it answered; by kind.
    begun: Counter = field(default_factory=Counter)
    delivered: Counter = field(default_factory=Counter)
    faults: list = field(default_factory=list)


def configuration(servers, ports, authority):
    """Weights, routes, listeners, certificates and the set of endpoints change from round to round."""

    left_out = None

    def configure(number):
        nonlocal left_out
        # One endpoint is left out now and then, while calls run there. One that says that it is not serving stays
        # as it is: a new endpoint gets calls until it has been asked.
        if not any(server.is_leaving for server in servers):
            left_out = number % 7
        endpoints = [
            f"'{server.endpoint}@{1 + (number + index) % 3}'"
            for index, server in enumerate(servers)
            if index != left_out
        ]
        # It is a mistake where no endpoint speaks TLS.
        ca = f", ca: {authority.cert}" if "h2://" in str(endpoints) else ""
        more = f", 127.0.0.1:{ports['more']}" if number % 2 else ""
        return [
            f"listen: [127.0.0.1:{ports['plain']}{more}]",
            f"listen_tls: [127.0.0.1:{ports['tls']}]",
            "certificates: [{cert: cert.pem, key: key.pem}]",
            "threads: 2",
            "drain_timeout: 10m",
            "trusted: [127.0.0.0/8]",
            "access_log_format: json",
            "check_interval: 300ms",
            "upstreams:",
            f"  - {{name: calls, endpoints: [{', '.join(endpoints)}], check: grpc{ca},",
            f"     policy: {'least_requests' if number % 3 else 'round_robin'}}}",
            "routes:",
            *(["  - {prefix: /other, upstream: calls}"] if number % 2 else []),
            f"  - {{prefix: /{service.SERVICE}, upstream: calls}}",
        ]

    return configure


def end_in_turn(servers, clients, total, stopping):
    """Each server is killed once and stopped in order once, while the others run."""
    steps = [(server, is_killed) for is_killed in (True, False) for server in servers]
    for turn, (server, is_killed) in enumerate(steps):
        while sum(client.ended() for client in clients) < total * (turn + 1) // (len(steps) + 1):
            if stopping.wait(0.02):
                return
        if is_killed:
            server.kill()
            time.sleep(DOWN)
            server.start()
        else:
            server.restart()


def disturb(balancer, servers, clients, total):
    """Reloads, upgrades and kills until the clients are done."""
    stopping, progress = threading.Event(), Progress()
    ending = threading.Thread(target=end_in_turn, args=(servers, clients, total, stopping), daemon=True)
    ending.start()
    for step in itertools.cycle(["reload", "reload", 1, "reload", "reload", 3, "reload", 2]):
        if not any(client.thread.is_alive() for client in clients):
            break
        if step == "reload":
            balancer.reload()
        else:
            balancer.upgrade(step)
        done = sum(client.ended() for client in clients)
        progress.step(f"{done} of {total} calls, {balancer.alive()} processes")
        time.sleep(PAUSE)
    stopping.set()
    ending.join(PATIENCE)
    progress.clear()


def read_log(balancer):
    """The lines of each call."""
    found = defaultdict(list)
    with open(balancer.folder / "access.log", encoding="utf-8") as log:
        for line in log:
            entry = json.loads(line)
            found[entry["id"]].append(entry)
    return found


def account(balancer, servers, clients):
    log, by_address = read_log(balancer), {server.address: server for server in servers}
    records = {server.address: server.recorded() for server in servers}
    result = Account(sum((client.counts for client in clients), Counter()))
    for failed in itertools.chain(*(client.failed for client in clients)):
        lines = log[str(failed["failed"])]
        server = by_address.get((lines[-1]["tried"] or [None])[-1]) if lines else None
        ends = lines[-1]["end"] if lines else None
        was_killed = server and any(
            failed["began"] <= after and before <= failed["ended"] for before, after in server.kills
        )
        is_told = failed["code"] == "UNAVAILABLE" or failed["details"] == UNTOLD
        if is_told and was_killed and ends in ("UQ", "UA", "UB"):
            begun = records[server.address].get(failed["failed"]) == ["begun"]
            (result.begun if begun else result.delivered)[failed["kind"]] += 1
        else:
            said = [f"{line['end']} at {line['tried']} for {line['total']} s" for line in lines]
            result.faults.append(
                f"{failed['kind']} {failed['failed']}: {failed['code']} {failed['details']}; the access log: {said}"
            )
    begins = Counter()
    for record in records.values():
        for call, words in record.items():
            begins[call] += words.count("begun")
    twice = [call for call, times in begins.items() if times > 1]
    result.faults += [f"call {call} was made {begins[call]} times" for call in twice]
    if any(not client.is_done for client in clients):
        result.faults.append("a client has failed")
    return result


def report(calls, result, balancer, servers):
    columns = {"calls": {}, "as they should": {}, "lost with the server": {}, "of these begun there": {}}
    for kind in (*service.KINDS, service.HELD):
        lost = result.begun[kind] + result.delivered[kind]
        total = calls if kind != service.HELD else result.well["held calls"]
        figures = (total, result.well[kind], lost, result.begun[kind])
        for column, figure in zip(columns.values(), figures):
            column[kind] = str(figure)
        if result.well[kind] + lost != total:
            result.faults.append(f"{kind}: {total} calls, {result.well[kind]} well, {lost} excused")
    kills = sum(len(server.kills) for server in servers)
    print(f"\n{table(columns)}\n")
    restarts = sum(server.restarts for server in servers)
    print(f"{balancer.reloads} reloads, {balancer.upgrades} upgrades; servers: {kills} kills, {restarts} restarts in order,")
    print(f"{result.well['held messages']} messages on calls that lasted for the whole time")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--evener", required=True)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--cases", action="store_true")
    parser.add_argument("--go", help="the binary of peer_go")
    args = parser.parse_args()
    catch_signals()
    work = Path(tempfile.mkdtemp(prefix="grpc."))
    authority = Authority(work, "authority")
    shown = [authority.issue(f"number {number}", ["localhost", "127.0.0.1"]) for number in range(3)]
    free = free_ports()
    servers, clients, balancer, result = [], [], None, None
    began = time.monotonic()
    try:
        for name, identity in (("a", None), ("b", None), ("c", shown[0])):
            servers.append(Server(work, name, next(free), identity))
        failed = pairs.play(args.evener, work, servers, (shown, authority), free, args.go)
        if args.cases:
            if not failed:
                shutil.rmtree(work)
            return bool(failed)
        ports = {name: next(free) for name in ("plain", "tls", "more")}
        balancer = Balancer(args.evener, work, configuration(servers, ports, authority), shown)
        share = args.calls // CLIENTS
        clients.append(Client(f"127.0.0.1:{ports['plain']}", 0, share))
        clients.append(Client(f"localhost:{ports['tls']}", share, share, authority.cert))
        disturb(balancer, servers, clients, args.calls * len(service.KINDS))
        balancer.settle()
        result = account(balancer, servers, clients)
    finally:
        for client in clients:
            client.process.kill()
        if balancer:
            balancer.end()
        for server in servers:
            server.end()
    report(args.calls, result, balancer, servers)
    for line in result.faults[:20]:
        print(line)
    if failed:
        result.faults.append(f"{failed} cases")
    if result.faults:
        (work / "faults").write_text("\n".join(result.faults))
        print(f"{len(result.faults)} faults: see {work}/faults and the logs beside it")
        return 1
    print(f"nothing is lost that could be kept, in {time.monotonic() - began:.0f} s")
    shutil.rmtree(work)
    return 0


sys.exit(main())
