"""Measures how many requests find an open connection to their endpoint, with one worker and with many."""

import heapq
import multiprocessing
import random
import select
import socket
import subprocess
import sys
import time

import tool
from balancer import Balancer
from progress import Progress

TEXT = """Measures how many requests find an open connection to their endpoint, with one worker and with many.

  tools/scale pools                  the release build of this tree, which is built first: about ten minutes
  tools/scale pools --evener PATH    another build, such as one from before a change
  tools/scale pools --simulated      the pools alone, on a virtual clock, and what else might have been: two minutes

A hundred endpoints in one origin process, each at an address of its own, get requests at random, as from clients that know
nothing of each other (a Poisson process for each endpoint), over connections that the kernel spreads over the workers. An
endpoint closes a connection that has been idle for 5 s, as those in Node.js do. Counted are requests on a connection that was
open, of all of them, once every endpoint has been in use for a while; and connections that are idle at the end.

In the simulation one endpoint takes 5 ms on average, and closes what has been idle for 5 s. The same seeds give the same
figures, those that cargo test holds to.

Fails if many workers reuse less than one does, by more than 0.5 % of the requests. Needs Python 3 and Rust.
"""

ENDPOINTS, CONNECTIONS, IDLE_SECONDS = 100, 512, 5
# Idle connections are counted once a second.
SETTLE_SECONDS = 1.2
# Of src/net/shelf.rs: 3 times within 50 ms.
USUAL = "50x3"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"

PARSER = tool.Parser(TEXT)
PARSER.prog += " pools"
PARSER.add_argument("--evener", metavar="PATH", help="another build")
PARSER.add_argument("--simulated", action="store_true", help="no process and no connection: src/net/pool_simulation.rs")
PARSER.add_argument("--workers", type=tool.number(int, 2, 1024), default=32, help="beside one [default: 32]")
PARSER.add_argument("--rates", metavar="LIST", default="1,2,5,10,20,50",
                    help="requests per second at each endpoint, with commas between [default: 1,2,5,10,20,50]")
PARSER.add_argument("--seconds", type=tool.number(int, 1, 3600), default=30, help="of each measurement [default: 30]")
PARSER.add_argument("--service", type=tool.number(float, 0, 1000), default=5, metavar="MS",
                    help="how long an endpoint takes to answer, in milliseconds [default: 5]")


def origin(listener, service):
    """Answers each request after that many seconds, and closes what has been idle for long."""
    waiting, poll, connections, due = [], select.epoll(), {}, []
    listener.setblocking(False)
    poll.register(listener, select.EPOLLIN)
    while True:
        now = time.monotonic()
        pause = min([1.0] + [max(at - now, 0) for at, *_ in due[:1]])
        for descriptor, _ in poll.poll(pause):
            if descriptor == listener.fileno():
                connection = listener.accept()[0]
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                poll.register(connection, select.EPOLLIN)
                connections[connection.fileno()] = [connection, time.monotonic()]
                continue
            known = connections[descriptor]
            if known[0].recv(4096):
                known[1] = time.monotonic() + service
                heapq.heappush(due, (known[1], descriptor, known[0]))
            else:
                connections.pop(descriptor)[0].close()
        now = time.monotonic()
        while due and due[0][0] <= now:
            _, descriptor, connection = heapq.heappop(due)
            if connections.get(descriptor, [None])[0] is connection:
                connection.send(ANSWER)
        if not waiting or waiting[0] <= now:
            waiting = [now + 0.25]
            for descriptor, (connection, last) in list(connections.items()):
                if now - last > IDLE_SECONDS:
                    connections.pop(descriptor)[0].close()


def offer(sockets, rate, seconds):
    """Sends requests at random times, so many a second in all, each over a connection that is free."""
    poll, free, sent, late = select.epoll(), list(sockets), 0, 0
    by_number = {connection.fileno(): connection for connection in sockets}
    for connection in sockets:
        poll.register(connection, select.EPOLLIN)
    end = time.monotonic() + seconds
    due = time.monotonic() + random.expovariate(rate)
    while True:
        now = time.monotonic()
        if now >= end and len(free) == len(sockets):
            break
        while due <= now < end:
            due += random.expovariate(rate)
            if not free:
                late += 1
                continue
            place = random.randrange(len(free))
            free[place], free[-1] = free[-1], free[place]
            free.pop().send(REQUEST)
            sent += 1
        for descriptor, _ in poll.poll(max(min(due - now, 0.1), 0)):
            answer = by_number[descriptor].recv(4096)
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise SystemExit(f"a client was answered {answer[:80]!r}")
            free.append(by_number[descriptor])
    poll.close()
    return sent, late


def connect(port):
    """A client's connection, after a first request: until that it might be closed soon."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.send(REQUEST)
    connection.recv(4096)
    return connection


def measure(program, threads, rate, options):
    """The share of requests that found a connection, connections that are idle, and those opened a second."""
    listener = socket.create_server(("0.0.0.0", 0), backlog=4096)
    port = listener.getsockname()[1]
    serving = multiprocessing.Process(target=origin, args=(listener, options.service / 1000), daemon=True)
    serving.start()
    endpoints = ",".join(f"127.0.1.{last}:{port}" for last in range(1, ENDPOINTS + 1))
    flags = ["--route", f"/={endpoints}", "--policy", "random", "--check", "off",
             "--keepalive-timeout", "1h"]
    try:
        with Balancer(program, threads, flags) as balancer:
            sockets = [connect(balancer.port) for _ in range(CONNECTIONS)]
            offer(sockets, rate * ENDPOINTS, 2 * IDLE_SECONDS)
            before = balancer.metrics()
            sent, late = offer(sockets, rate * ENDPOINTS, options.seconds)
            time.sleep(SETTLE_SECONDS)
            after = balancer.metrics()
            for connection in sockets:
                connection.close()
    finally:
        serving.kill()
        listener.close()
    grown = {name: after[name] - before.get(name, 0) for name in after}
    opened = grown["evener_upstream_connections_opened_total"]
    reused = grown["evener_upstream_connections_reused_total"]
    failed = grown["evener_failed_attempts_total"]
    idle = after["evener_endpoint_connections_idle"] / ENDPOINTS
    if late or failed:
        print(f"  ({late} of {sent} not sent for want of a connection, {failed:.0f} attempts failed)", file=sys.stderr)
    return reused / (reused + opened), idle, opened / options.seconds


def simulated():
    """A row for each rate and each rule by which a worker keeps connections for itself."""
    words = ["cargo", "test", "--locked", "--quiet", "--lib", "net::pool_simulation::tests::figures", "--", "--ignored",
             "--nocapture"]
    print("a simulation of each rule, which is built first: two minutes", file=sys.stderr)
    done = subprocess.run(words, cwd=tool.ROOT, check=False, capture_output=True, text=True)
    if done.returncode:
        tool.fail(f"{' '.join(words)} failed:\n{done.stdout}{done.stderr}")
    output = done.stdout
    rows = [line.split()[1:] for line in output.splitlines() if line.startswith("POOLS ")]
    print("A worker keeps a connection if it has come so often in a row, each time within so many milliseconds; `-`: nothing is "
          "shared.\nShares of requests, and idle connections, with one worker and 32.\n")
    print("| rule | requests/s | reuse, 1 | reuse, 32 | by the shelf | idle, 1 | idle, 32 |")
    print("|---|---|---|---|---|---|---|")
    wrong = []
    for rule, rate, alone, many, shelved, alone_idle, many_idle in rows:
        name = "-" if rule == "-" else "{1} × {0} ms".format(*rule.split("x"))
        print(f"| {name} | {rate} | {alone} % | {many} % | {shelved} % | {alone_idle} | {many_idle} |")
        if rule == USUAL and float(many) < float(alone) - 0.5:
            wrong.append(f"at {rate} requests/s 32 workers reuse {many} % where one reuses {alone} %")
    return wrong or ([] if any(row[0] == USUAL for row in rows) else [f"no figures of {USUAL}"])


def run(options):
    if options.simulated:
        return simulated()
    try:
        rates = [float(rate) for rate in options.rates.split(",")]
    except ValueError:
        rates = []
    if not rates or not all(0 < rate <= 10_000 for rate in rates):
        PARSER.error(f"--rates: invalid value {options.rates!r}: expected numbers above 0, up to 10000, with commas between")
    program, wrong = tool.evener(options.evener), []
    print(f"{ENDPOINTS} endpoints that answer after {options.service:g} ms; requests that found a connection, and idle "
          "connections per endpoint\n")
    print(f"| requests/s per endpoint | 1 worker | {options.workers} workers | idle, 1 worker | idle, {options.workers} workers |")
    print("|---|---|---|---|---|", flush=True)
    each = options.seconds + 2 * IDLE_SECONDS + SETTLE_SECONDS
    progress = Progress(2 * len(rates) * each)
    for rate in rates:
        progress.step(f"{rate:g} requests/s, 1 worker", each)
        alone, alone_idle, _ = measure(program, 1, rate, options)
        progress.step(f"{rate:g} requests/s, {options.workers} workers", each)
        many, many_idle, _ = measure(program, options.workers, rate, options)
        progress.clear()
        print(f"| {rate:g} | {alone:.2%} | {many:.2%} | {alone_idle:.1f} | {many_idle:.1f} |", flush=True)
        if many < alone - 0.005:
            wrong.append(f"at {rate:g} requests/s {options.workers} workers reuse {alone - many:.2%} less than one")
    return wrong
