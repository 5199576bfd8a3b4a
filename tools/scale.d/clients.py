"""Measures how evenly connections of clients lie on the workers."""

import multiprocessing
import os
import pathlib
import socket
import subprocess
import sys
import time

import tool
from balancer import Balancer
from progress import Progress

TEXT = """Measures how evenly connections of clients lie on the workers.

  tools/scale clients                  the release build of this tree, which is built first: about ten minutes
  tools/scale clients --evener PATH    another build, such as one from before a change; the virtual clock is always of this tree

First the decision alone, on a virtual clock: connections that stay, and connections that come and go, over many trials with
the hash of the kernel and with the worker that accepts giving what is above its share. Then a real Evener: connections that
stay, counted for each worker by what its epoll instance watches, as /proc says; and a connection for each
request, of which few are to be given away.

Fails if connections that stay are not even, or if many short ones are given away. Needs Python 3 and Rust, and Linux.
"""

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
CLIENTS = 4

PARSER = tool.Parser(TEXT)
PARSER.prog += " clients"
PARSER.add_argument("--evener", metavar="PATH", help="another build")
PARSER.add_argument("--trials", type=tool.number(int, 1, 100_000), default=1000, help="on the virtual clock [default: 1000]")
PARSER.add_argument("--rounds", type=tool.number(int, 1, 10_000), default=50, help="with a real Evener [default: 50]")
PARSER.add_argument("--workers", type=tool.number(int, 2, 256), default=16, help="of the real one [default: 16]")
PARSER.add_argument("--connections", type=tool.number(int, 2, 10_000), default=64, help="in each round [default: 64]")
PARSER.add_argument("--seconds", type=tool.number(int, 1, 3600), default=5, help="of short connections [default: 5]")


def simulate(trials):
    print("the virtual clock, which is built first", file=sys.stderr)
    words = ["cargo", "bench", "--quiet", "--locked", "--profile", "dev", "--bench", "clients", "--", str(trials)]
    if subprocess.run(words, cwd=tool.ROOT, check=False).returncode:
        tool.fail(f"{' '.join(words)} failed")


def watched(process, number):
    """The descriptors that an epoll instance of a process watches."""
    text = pathlib.Path(f"/proc/{process}/fdinfo/{number}").read_text()
    return frozenset(line.split()[1] for line in text.splitlines() if line.startswith("tfd:"))


def instances(process):
    """The epoll instances of a process at rest: what each watches, by a number of it. A runtime has two for the same one."""
    folder, found = pathlib.Path(f"/proc/{process}/fd"), {}
    for entry in os.scandir(folder):
        if os.readlink(entry.path) == "anon_inode:[eventpoll]":
            found[watched(process, entry.name)] = entry.name
    return {number: len(watching) for watching, number in found.items()}


def lying(balancer, quiet, expected):
    """How many connections each worker has, once there are as many as expected."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        more = [len(watched(balancer.process.pid, number)) - count for number, count in quiet.items()]
        if sum(more) == expected:
            return more
        time.sleep(0.02)
    raise SystemExit(f"{sum(more)} connections are open instead of {expected}")


def stay(balancer, options, progress):
    """The connections of the worker that has most, by the mean, of each round."""
    quiet, ratios = instances(balancer.process.pid), []
    for number in range(options.rounds):
        progress.step(f"round {number + 1} of {options.rounds}")
        clients = [socket.create_connection(("127.0.0.1", balancer.port)) for _ in range(options.connections)]
        most = max(lying(balancer, quiet, options.connections))
        ratios.append(most * options.workers / options.connections)
        for client in clients:
            client.close()
        lying(balancer, quiet, 0)
    return ratios


def hurry(port, seconds):
    """Opens a connection for each request."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.send(REQUEST)
            while client.recv(4096):
                pass


def short(balancer, seconds):
    """Connections a second, and the share that was given away, with a connection for each request."""
    clients = [multiprocessing.Process(target=hurry, args=(balancer.port, seconds)) for _ in range(CLIENTS)]
    before = balancer.metrics()
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    after = balancer.metrics()
    accepted = after["evener_connections_accepted_total"] - before["evener_connections_accepted_total"]
    given = after.get("evener_connections_rebalanced_total", 0) - before.get("evener_connections_rebalanced_total", 0)
    return accepted / seconds, given / accepted


def run(options):
    progress = Progress()
    simulate(options.trials)
    program, wrong = tool.evener(options.evener), []
    # An answer of its own, so that no endpoint is needed.
    with Balancer(program, options.workers, ["--route", "/=127.0.0.1:1", "--check", "off"]) as balancer:
        time.sleep(1)
        ratios = stay(balancer, options, progress)
        progress.step("a connection for each request", options.seconds)
        rate, given = short(balancer, options.seconds)
    progress.clear()
    mean, worst = sum(ratios) / len(ratios), max(ratios)
    print(f"\n{program}\n\n| {options.connections} connections on {options.workers} workers, {options.rounds} rounds | |\n|---|---|")
    print(f"| of the worker that has most, by the mean | {mean:.2f} |\n| in the worst round | {worst:.2f} |")
    print(f"| connections a second, one for each request | {rate:.0f} |\n| of these given away | {given:.1%} |")
    fair = -(-options.connections // options.workers)
    # One more, since two workers may give to the same at the same moment.
    if worst > (fair + fair // 16 + 1) * options.workers / options.connections:
        wrong.append(f"a worker had {worst:.2f} times the mean")
    if given > 0.2:
        wrong.append(f"{given:.1%} of short connections were given away")
    return wrong
