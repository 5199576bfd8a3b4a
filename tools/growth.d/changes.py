"""Reloads and an upgrade while there is much of everything: how long a request waits meanwhile, and who is lost."""

import gc
import resource
import signal
import socket
import sys
import time

from process import ORIGIN, PORT, PROGRESS, Running, origin
from starts import RULES

REQUEST = b"GET /tenant/000000/x HTTP/1.1\r\nHost: a\r\n\r\n"
# So many connections are asked in turn: with two workers, each has some.
ASKED = 8
# Those that got no answer, as far as that was shown.
LOST, LOST_SHOWN = [], 5
ROWS = ("nothing else happens", "a route is added", "all upstreams change", "another process takes over",
        "nothing else happens, in that process")


def section(_, binary, folder, quick):
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    routes, endpoints, idle = (10_000, 1000, 1000) if quick else (100_000, 10_000, 6000)
    file, log = folder / "changes.yaml", folder / "changes.log"
    usual = [binary, "-c", str(file), "--error-log", str(log), "--upgrade-sock", str(folder / "changes.sock")]
    log.write_text("")
    configure(file, routes, endpoints)
    with origin(binary), Running(usual, PORT) as before:
        PROGRESS.step(f"changes: {idle} idle clients come")
        clients = [idle_client(place, before, log) for place in range(idle)]
        asked = [connected() for _ in range(ASKED)]
        time.sleep(5)
        lines = ["## Reloads and upgrades with many of everything", "",
                 "| while | it took, s | requests | without an answer | p99, ms | longest, ms | idle clients that get an answer after it |",
                 "|---|---|---|---|---|---|---|"]
        end = time.monotonic() + 4
        lines.append(row("nothing else happens", asked, clients, lambda: time.monotonic() > end))
        for what, extra, keep in (("a route is added", 1, "50s"), ("all upstreams change", 1, "49s")):
            configure(file, routes, endpoints, extra, keep)
            count = log.read_text().count("reloaded: ") + 1
            before.process.send_signal(signal.SIGHUP)
            lines.append(row(what, asked, clients, lambda: log.read_text().count("reloaded: ") == count))
        before.process.send_signal(signal.SIGQUIT)
        with Running([*usual, "--upgrade"]):
            lines.append(row("another process takes over", asked, clients, lambda: has_taken_over(log.read_text())))
            end = time.monotonic() + 4
            lines.append(row("nothing else happens, in that process", asked, clients, lambda: time.monotonic() > end))
            still = sum(map(is_answered, clients))
            for one in clients + asked:
                one.close()
    return "\n".join([
        *lines, "",
        f"Two workers, {routes} routes with rules, {endpoints} endpoints that are checked every second over TCP, {idle} idle clients. One client "
        f"asks over {ASKED} connections in turn, each as soon as the one before has answered. The checks, the reading of the file and the "
        "endpoints run on the same two cores. A reload or an upgrade is followed for a second more. After each row, a tenth of the idle "
        f"clients ask, in turns; at the end all did, and {still} of {idle} got an answer."])


def has_taken_over(log):
    if "not handed over" in log:
        raise SystemExit(f"tools/growth: no upgrade: {log[-500:]}")
    return "handed over; what still runs" in log


def configure(file, routes, endpoints, extra=0, keep="50s"):
    listed = "\n".join(f"  - {{name: u{place}, endpoints: ['127.0.{place // 250}.{1 + place % 250}:{ORIGIN}']}}"
                       for place in range(endpoints))
    entries = "\n".join(f"  - {{prefix: /tenant/{place:06}, upstream: u{place % endpoints}{RULES.format(place=place)}}}"
                        for place in range(routes + extra))
    file.write_text(f"listen: ['127.0.0.1:{PORT}']\nthreads: 2\nkeepalive_timeout: 300s\nupstream_keepalive_timeout: {keep}\n"
                    f"upstreams:\n{listed}\nroutes:\n{entries}\n")


def connected(place=0):
    one = socket.socket()
    one.bind((f"127.0.1.{1 + place % 200}", 0))
    one.settimeout(20)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    one.connect(("127.0.0.1", PORT))
    return one


def idle_client(place, evener, log):
    one = connected(place)
    if not is_answered(one):
        status = evener.process.poll()
        state = "runs" if status is None else f"has ended with {status}"
        raise SystemExit(f"tools/growth: client {place} got no answer; Evener {state}, and has logged:\n{log.read_text()[-1000:]}")
    return one


def is_answered(one):
    begun = time.monotonic()
    try:
        one.sendall(REQUEST)
        came = one.recv(4096)
    except OSError as error:
        came = error
    if isinstance(came, bytes) and came.startswith(b"HTTP/1.1 200 "):
        return True
    # Where all are lost, a few of them say why.
    if len(LOST) < LOST_SHOWN:
        LOST.append(one)
        print(f"tools/growth: no answer on port {one.getsockname()[1]} but {came!r}, after {time.monotonic() - begun:.3f} s",
              file=sys.stderr)
    return False


def row(what, asked, clients, is_over):
    """`asked` are those that ask all the time; one that has lost its connection asks no more."""
    PROGRESS.step(f"changes: {what}")
    begun, end, waits, unanswered, due = time.monotonic(), None, [], 0, 0.0
    gc.disable()
    while end is None or time.monotonic() < end:
        for one in list(asked):
            start = time.monotonic()
            if is_answered(one):
                waits.append(time.monotonic() - start)
            else:
                unanswered += 1
                asked.remove(one)
        if not asked:
            raise SystemExit(f"tools/growth: every connection is lost: {what}")
        if end is None and time.monotonic() > due:
            due = time.monotonic() + 0.02
            if is_over():
                took, end = time.monotonic() - begun, time.monotonic() + 1
            elif time.monotonic() > begun + 60:
                raise SystemExit(f"tools/growth: not over after a minute: {what}")
    gc.enable()
    waits.sort()
    # A tenth of those at rest, others each time, so that most of them stay at rest.
    place = ROWS.index(what)
    sampled = clients[place::10]
    still = sum(map(is_answered, sampled))
    return (f"| {what} | {took:.2f} | {len(waits)} | {unanswered} | {waits[len(waits) * 99 // 100] * 1e3:.3g} | "
            f"{waits[-1] * 1e3:.3g} | {still} of {len(sampled)} |")
