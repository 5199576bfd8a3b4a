"""A body of 1 GiB on one stream of HTTP/2, down and up, beside small requests.

stream.py sends 400 small requests a second on the same connection, good.py 250 a second on others, over HTTP/2 and
HTTP/1.1. Measured in turns: without a body, with one down, with one up; and what the connection of stream.py alone
costs the same way straight to the origin: there, no proxy stands in the way of the small ones.

Fails where a request fails, memory (PSS) grows by more than 8 MiB, or the p99 at least doubles: of the others
compared with being alone, of those on the same connection compared with both alone and the origin.
"""

import statistics
import time

import processes
from h2 import IS_JUDGED, KINDS, WORST, Run, Talker, Watch, pss


WHATS = ("alone", "down", "up")
GROWN = 8 * 1024
# What the client lets be on its way.
WINDOW = 1024 * 1024


def p50_p99(took):
    took = sorted(took)
    return (1000 * took[len(took) // 2], 1000 * took[len(took) * 99 // 100]) if took else (0, 0)


class Large(Run):
    """The processes, and what they have said."""

    def __init__(self, options, binary, folder, children):
        super().__init__(options, binary, folder, children)
        self.took, self.seconds, self.spans, self.cpu = {}, {}, {what: [] for what in WHATS}, {}

    def body(self, what, where, port, pid):
        start, used = time.monotonic(), processes.cpu_seconds([pid])
        # The others must not wait for it: they share a core.
        said = Talker(["stream.py", what, port, self.options.body, WINDOW], self.other, -10).wait()
        self.took.setdefault((what, where), []).extend(said["small"])
        self.seconds.setdefault((what, where), []).append(said["seconds"])
        self.cpu.setdefault((what, where), []).append(processes.cpu_seconds([pid]) - used)
        if where == "evener":
            # The others are measured meanwhile, without the time it takes to start.
            self.spans[what].append((time.monotonic() - said["seconds"], time.monotonic()))
        time.sleep(0.2)
        return time.monotonic() - start


def run(options, binary, folder, children):
    this = Large(options, binary, folder, children)
    faults = []
    with this.evener("evener", True) as (evener, port):
        pid = evener.process.pid
        good = {kind: Talker(["good.py", kind, port], this.other, -20) for kind in KINDS}
        time.sleep(1)
        this.body("alone", "evener", port, pid)
        this.took.clear()
        before = pss(pid)
        watch = Watch(pid)
        for _ in range(options.rounds):
            for what in WHATS:
                this.body(what, "evener", port, pid)
        peak = watch.end()
        said = {kind: talker.end() for kind, talker in good.items()}
        for _ in range(options.rounds):
            for what in WHATS:
                this.body(what, "origin", this.origin, pid)
    rows = {}
    for (what, where), took in this.took.items():
        rows[f"same connection, {where}", what] = p50_p99(took)
    for kind in KINDS:
        faults += [f"{kind}: {took}" for _, took in said[kind] if isinstance(took, str)]
        for what, spans in this.spans.items():
            took = [took for start, took in said[kind] if not isinstance(took, str) and any(b <= start < e for b, e in spans)]
            rows[f"others, {kind}", what] = p50_p99(took)
    print(f"{'p50 and p99 of small requests, ms':33} " + "".join(f"{what:>17}" for what in WHATS))
    for name in dict.fromkeys(name for name, _ in rows):
        cells = (rows[name, what] for what in WHATS)
        print(f"{name:33} " + "".join(f"{p50:9.2f}{p99:8.2f}" for p50, p99 in cells))
    for what in WHATS[1:]:
        for where in ("evener", "origin"):
            rate = options.body / statistics.median(this.seconds[what, where]) / 1e6
            cpu = f", {statistics.median(this.cpu[what, where]):.2f} s of CPU" if where == "evener" else ""
            print(f"{options.body >> 20} MiB {what}, {where}: {rate:.0f} MB/s{cpu}")
    print(f"memory: {before / 1024:.1f} MiB, at most {peak / 1024:.1f} MiB meanwhile")
    if peak > before + GROWN:
        faults.append(f"memory grew by {peak - before} KiB")
    for what in WHATS[1:]:
        judged = {f"others, {kind}": rows[f"others, {kind}", "alone"][1] for kind in KINDS}
        judged["same connection, evener"] = max(
            rows["same connection, evener", "alone"][1], rows["same connection, origin", what][1]
        )
        for name, alone in judged.items():
            p99 = rows[name, what][1]
            if IS_JUDGED and p99 >= WORST * alone:
                faults.append(f"the p99 of {name}, has moved by {p99 / alone:.1f}× ({what})")
    return faults
