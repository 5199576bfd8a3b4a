"""Attacks over HTTP/2, one after the other, beside clients of HTTP/2 and HTTP/1.1 that are served.

Each is a row of attacks.py: prepared bytes, which attackers.py sends over so many connections, and again over new
ones where they are closed, at most four times a second each. good.py sends 250 requests a second of each protocol.

Measured in turns: the good clients alone, while Evener is attacked, and while the same attackers attack another
process on the same core, the control: what that costs them is due to sharing the machine. Where that is allowed,
Evener, the good clients and their origin run with a real-time priority, so that nothing else disturbs them; the
attackers, the control and the origin that attacks are routed to never do.

Fails where a good client fails, its p99 is at least twice that of both alone and control, or memory (PSS) grows by
more than the requests that an attack holds may cost. Of what it was at most, the allocator keeps a part for the next
time: that is shown as "after". CPU is what Evener used of its core, the good clients included.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time

import attacks
import processes
from ports import free_port
from processes import Child, Failed

HERE = os.path.dirname(os.path.abspath(__file__))
# Before an attack is measured, after it has begun; and before anything else is, after it has ended.
START_SECONDS, PAUSE_SECONDS = 0.5, 0.3
# Until memory is looked at for the last time: longer than a connection keeps what it needs no more.
REST_SECONDS = 2
SAMPLE_SECONDS = 0.1
KINDS = ("h2", "h1")
ALONE, ATTACKED, CONTROL = "alone", "attacked", "control"
WHATS = (ALONE, ATTACKED, CONTROL)
# How much the p99 of the good clients may move, compared with both alone and control.
WORST = 2.0
# Without a real-time priority, the p99 depends on what else goes on: it is shown and not judged.
IS_JUDGED = os.geteuid() == 0


class Talker:
    """A program of this folder that works until it is ended, and then says on one line what it has seen."""

    def __init__(self, words, core, nice=0):
        def prepare():
            os.sched_setaffinity(0, {core})
            if nice:
                processes.come_first(nice)

        command = [sys.executable, os.path.join(HERE, words[0]), *map(str, words[1:])]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=prepare, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise Failed(f"{words[0]} has not begun")

    def end(self):
        self.process.terminate()
        return self.wait()

    def wait(self):
        """Until it has done what it had to do."""
        said = self.process.stdout.read()
        self.process.wait(60)
        if not said:
            raise Failed(f"{self.process.args[1]} has failed")
        return json.loads(said)


class Watch:
    """Watches the memory of a process."""

    def __init__(self, pid):
        self.pid, self.peak = pid, 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.over.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, pss(self.pid))

    def end(self):
        """The most it was, in KiB of PSS."""
        self.over.set()
        self.thread.join()
        return self.peak


def pss(pid):
    return processes.memory([pid])["pss_kib"]


class Measured:
    """What an attack has done."""

    def __init__(self, attack):
        self.attack = attack
        # When each was measured: beginning and end. What Evener used of its core meanwhile, in seconds.
        self.spans = {what: [] for what in WHATS}
        self.cpu = dict.fromkeys(WHATS, 0.0)
        self.before = self.peak = self.after = 0
        self.counts, self.attacked_seconds = {}, 0.0
        self.faults = []
        self.p50, self.p99 = {}, {}

    def judge(self, said):
        """By what the good clients have said."""
        for kind in KINDS:
            self.faults += [f"{kind}: {took}" for _, took in said[kind] if isinstance(took, str)]
            for what, spans in self.spans.items():
                took = sorted(
                    1000 * took for start, took in said[kind]
                    if not isinstance(took, str) and any(begin <= start < end for begin, end in spans)
                )
                if not took:
                    self.faults.append(f"{kind}: nothing was served ({what})")
                    took = [float("nan")]
                self.p50[kind, what], self.p99[kind, what] = took[len(took) // 2], took[len(took) * 99 // 100]
            moved = min(self.ratio(kind, ALONE), self.ratio(kind, CONTROL))
            if IS_JUDGED and moved >= WORST:
                self.faults.append(f"the p99 of {kind} has moved by {moved:.1f}×")
        grown = self.peak - self.before
        if grown > self.attack.grows_kib:
            self.faults.append(f"memory grew by {grown} KiB, more than {self.attack.grows_kib}")

    def ratio(self, kind, to):
        return self.p99[kind, ATTACKED] / self.p99[kind, to]

    def row(self):
        cells = [f"{self.attack.name:33}"]
        for kind in KINDS:
            cells.append(" ".join(f"{self.p50[kind, what]:5.2f}" for what in WHATS))
            cells.append(" ".join(f"{self.p99[kind, what]:6.2f}" for what in WHATS))
            cells.append(f"{self.ratio(kind, ALONE):5.2f} {self.ratio(kind, CONTROL):5.2f}")
        cells.append(" ".join(f"{kib / 1024:5.1f}" for kib in (self.before, self.peak, self.after)))
        seconds = {what: sum(end - begin for begin, end in spans) for what, spans in self.spans.items()}
        cells.append(f"{100 * self.cpu[ATTACKED] / seconds[ATTACKED]:3.0f} %")
        rates = (self.counts[key] / self.attacked_seconds for key in ("connections", "ended", "frames"))
        cells.append("{:6.0f} {:6.0f} {:8.0f}".format(*rates))
        return " | ".join(cells)


HEAD = f"""\
{'':33} | {'HTTP/2: p50, ms':17} | {'p99, ms':20} | {'p99 ×':11} | {'HTTP/1.1: p50, ms':17} | {'p99, ms':20} | {'p99 ×':11} \
| {'MiB of memory':17} | CPU   | a second
{'attack':33} | alone under  ctrl | alone  under  ctrl   | alone  ctrl | alone under  ctrl | alone  under  ctrl   | alone  ctrl \
| before peak after |       | opened closed   frames"""


class Run:
    """What all attacks have in common: the origins, and where processes run."""

    def __init__(self, options, binary, folder, children):
        self.options, self.binary, self.folder, self.children = options, str(binary), folder, children
        cores = sorted(os.sched_getaffinity(0))
        self.mine, self.other = cores[0], cores[-1]
        os.sched_setaffinity(0, {self.other})
        processes.raise_descriptors()
        self.origin, self.attacked = self.start_origin("good", True), self.start_origin("attacked", False)

    @contextlib.contextmanager
    def evener(self, name, first):
        """An Evener, and its port."""
        port = free_port()
        words = ["--listen", f"127.0.0.1:{port}", "--threads", "1", "--log-level", "warn"]
        words += ["--route", f"/=127.0.0.1:{self.origin}", "--route", f"/attack=127.0.0.1:{self.attacked}"]
        child = self.start(words, self.mine, first, name, port)
        yield child, port
        child.stop()
        self.children.remove(child)

    def start_origin(self, name, first):
        port = free_port()
        self.start(["origin", "--listen", f"127.0.0.1:{port}"], self.other, first, f"origin.{name}", port)
        return port

    def start(self, words, core, first, name, port):
        child = Child([self.binary, *words], {core}, os.path.join(self.folder, name), first)
        self.children.append(child)
        child.wait_listening(port)
        return child

    def attack(self, attack):
        """All about one attack."""
        measured = Measured(attack)
        with self.evener("evener", True) as (evener, port), self.evener("control", False) as (control, control_port):
            pid = evener.process.pid
            good = {kind: Talker(["good.py", kind, port], self.other, -20) for kind in KINDS}
            time.sleep(1)
            measured.before = pss(pid)
            for _ in range(self.options.rounds):
                self.measure(measured, ALONE, pid)
                for what, target in ((ATTACKED, port), (CONTROL, control_port)):
                    self.flood(measured, what, pid, target)
            time.sleep(REST_SECONDS)
            measured.after = pss(pid)
            said = {kind: talker.end() for kind, talker in good.items()}
            measured.faults += [f"{child.log} has ended" for child in (evener, control) if child.process.poll() is not None]
        measured.judge(said)
        return measured

    def flood(self, measured, what, pid, port):
        """Has a port attacked, and measures."""
        begun = time.monotonic()
        attackers = Talker(
            ["attackers.py", measured.attack.name, port, self.options.rate, self.options.bytes], self.other
        )
        watch = Watch(pid)
        time.sleep(START_SECONDS)
        self.measure(measured, what, pid)
        peak, counts = watch.end(), attackers.end()
        if what == ATTACKED:
            measured.peak = max(measured.peak, peak)
            measured.attacked_seconds += time.monotonic() - begun
            for key, value in counts.items():
                measured.counts[key] = measured.counts.get(key, 0) + value
        time.sleep(PAUSE_SECONDS)

    def measure(self, measured, what, pid):
        start, used = time.monotonic(), processes.cpu_seconds([pid])
        time.sleep(self.options.seconds)
        measured.cpu[what] += processes.cpu_seconds([pid]) - used
        measured.spans[what].append((start, time.monotonic()))


def run(options, binary, folder, children):
    words = options.attack or [""]
    chosen = [attack for attack in attacks.ATTACKS if any(word in attack.name for word in words)]
    this = Run(options, binary, folder, children)
    print(f"at most {options.rate} frames and {options.bytes} bytes a second from all attackers together")
    print(HEAD)
    faults = []
    for attack in chosen:
        measured = this.attack(attack)
        print(measured.row(), flush=True)
        found = [f"{attack.name}: {fault}" for fault in measured.faults]
        print("".join(f"    {fault}\n" for fault in measured.faults[:4]), end="", flush=True)
        faults += found
    return faults
