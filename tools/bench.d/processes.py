"""Processes of this run: started pinned to cores, measured, and ended by PID."""

import ctypes
import os
import re
import resource
import signal
import socket
import subprocess
import time

START_SECONDS = 10
STOP_SECONDS = 3

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """A process did not start or did not work."""


class Child:
    """A process and its descendants, pinned to cores, with their output in a log."""

    def __init__(self, command, cores, log, first=False):
        self.log = log

        def prepare():
            # Pinned before it runs, and killed together with this process.
            os.sched_setaffinity(0, cores)
            if first:
                come_first()
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

        with open(log, "wb") as output:
            try:
                self.process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                    start_new_session=True, preexec_fn=prepare,
                )
            except OSError as error:
                raise Failed(f"{command[0]}: {error.strerror}") from error

    def wait_listening(self, port):
        """Returns once the port accepts connections."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise Failed(f"exit {self.process.returncode}: {self.tail()}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise Failed(f"does not listen after {START_SECONDS} s: {self.tail()}")

    def tail(self):
        """Its last lines of output."""
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return " / ".join(log.read().strip().splitlines()[-3:])[-400:] or "no output"

    def tree(self):
        """Its PID and those of its descendants."""
        parents = parents_of_all()
        found = [self.process.pid]
        for parent in found:
            found.extend(pid for pid, of in parents.items() if of == parent)
        return found

    def stop(self):
        """Ends it and its descendants: first SIGTERM, then SIGKILL."""
        if self.process.poll() is not None:
            return
        pids = self.tree()
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            # Descendants first, so that they are not restarted.
            for pid in reversed(pids):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.wait()


def come_first(nice=-20):
    """Puts this process before others, as far as that is allowed: what else goes on then hardly disturbs what is
    measured. No real-time priority: the kernel stops such a process for a while in each second that it fills."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    except OSError:
        pass


def parents_of_all():
    """The parent of every process."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stat:
                # The name, in parentheses, may contain anything.
                parents[int(name)] = int(stat.read().rpartition(")")[2].split()[1])
        except OSError:
            pass
    return parents


def cpu_seconds(pids):
    """User and system time of the processes so far, all threads, in seconds.

    The clock of a process counts nanoseconds, /proc/PID/stat only ticks of 10 ms of the same
    time; its number is that of `clock_getcpuclockid(3)`.
    """
    total = 0.0
    for pid in pids:
        try:
            total += time.clock_gettime((~pid << 3) | 2)
        except OSError:
            pass
    return total


def system_ticks(pids):
    """User and system ticks of the processes, separately."""
    user = system = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except OSError:
            continue
        user += int(fields[11])
        system += int(fields[12])
    return user, system


def memory(pids):
    """Resident and proportional memory of the processes in KiB, without kernel buffers."""
    found = {"rss_kib": 0, "pss_kib": 0}
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii", errors="replace") as rollup:
                text = rollup.read()
        except OSError:
            continue
        for key, name in (("rss_kib", "Rss"), ("pss_kib", "Pss")):
            match = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
            found[key] += int(match[1]) if match else 0
    return found


def core_ticks(cores):
    """Ticks of the cores so far: busy, stolen by the hypervisor, total."""
    busy = stolen = total = 0
    with open("/proc/stat", encoding="ascii") as stat:
        for line in stat:
            name, *ticks = line.split()
            if name[3:].isdigit() and name.startswith("cpu") and int(name[3:]) in cores:
                user, nice, system, idle, iowait, irq, softirq, steal, *_ = map(int, ticks)
                busy += user + nice + system + irq + softirq
                stolen += steal
                total += user + nice + system + idle + iowait + irq + softirq + steal
    return busy, stolen, total


def raise_descriptors(wanted=65536):
    """Raises the descriptor limit of this process and its children as far as allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = [(wanted, max(wanted, hard)), (hard, hard)]
    for limit in limits:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
            return limit[0]
        except (OSError, ValueError):
            pass
    return soft
