"""Processes of a measurement: started, looked at in /proc, and ended by PID."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time

from ports import free_port
from progress import Progress

TICK = os.sysconf("SC_CLK_TCK")
# The same ones for all processes of a run: those of one part have ended before the next begins.
PORT, ORIGIN = free_port(), free_port()
PROGRESS = Progress()


class Running:
    """A process, until the end of a `with`."""

    def __init__(self, words, port=None, seconds=30):
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, start_new_session=True)
        self.pid = self.process.pid
        begun = time.monotonic()
        while port:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > begun + seconds:
                    self.end()
                    raise SystemExit(f"tools/growth: does not listen: {' '.join(words)}") from None
                time.sleep(0.005)
        self.started_in = time.monotonic() - begun

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        # It leads a group of its own, to which its workers belong.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()
            # A worker with thousands of connections takes its time to end, and listens meanwhile.
            for _ in range(1000):
                os.killpg(self.pid, 0)
                time.sleep(0.01)
            raise SystemExit(f"tools/growth: process {self.pid} does not end")
        self.process.wait()

    def pids(self):
        """Its own PID and those of its children."""
        of = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.pid)], capture_output=True, text=True, check=False)
        return [self.pid, *map(int, of.stdout.split())]

    def cpu(self):
        """CPU time, in seconds."""
        total = 0
        for pid in self.pids():
            words = open(f"/proc/{pid}/stat", encoding="ascii").read().rsplit(")", 1)[1].split()
            total += int(words[11]) + int(words[12])
        return total / TICK

    def threads(self):
        """CPU time in seconds of each thread, by its name."""
        tasks = {}
        for task in os.listdir(f"/proc/{self.pid}/task"):
            base = f"/proc/{self.pid}/task/{task}"
            tasks[open(f"{base}/comm").read().strip()] = int(open(f"{base}/schedstat").read().split()[0]) / 1e9
        return tasks

    def memory(self):
        """Its own memory in bytes: what it shares with nobody, or its part of it (`Pss`)."""
        text = "".join(open(f"/proc/{pid}/smaps_rollup").read() for pid in self.pids())
        return sum(int(kib) for kib in re.findall(r"^Pss_(?:Anon|Shmem): +(\d+)", text, re.M)) * 1024


def evener(binary, words, seconds=30):
    """Evener with one worker."""
    usual = ["--listen", f"127.0.0.1:{PORT}", "--threads", "1", "--log-level", "error"]
    return Running([binary, *usual, *words], PORT, seconds)


def origin(binary):
    """What answers, at every address of the machine's own."""
    return Running([binary, "origin", "--listen", f"0.0.0.0:{ORIGIN}"], ORIGIN)
