"""Measures a workload: starts the processes, checks them, and loads them in rounds."""

import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass

import clients
import h2load
import processes
import proxies as known
import wrk
from certificates import Certificates
from clients import expected
from ports import free_port
from processes import Child, Failed
from proxies import Setup
from workloads import H2_BOTH, HTTP, HTTP2, IDLE, TLS_CLIENTS, TLS_ENDPOINTS

WARM_SECONDS = 1
SYSCALL_SECONDS = 1
IDLE_ROUNDS = 3

# The rough duration of an idle round, for the estimate of the time left.
IDLE_ROUND_SECONDS = 4

# How long the load may exceed its duration before the round is abandoned.
GRACE_SECONDS = 20


@dataclass
class Bench:
    """Settings shared by all workloads of a run."""

    folder: str
    # The programs that are built for a run, and nginx, which is the origin that speaks TLS or HTTP/2.
    origin: str
    sessions: str
    nginx: str
    certificates: Certificates
    seconds: int
    rounds: int
    proxy_core: int
    load_core: int
    origin_core: int
    cores: frozenset
    descriptors: int
    syscalls: bool
    progress: object

    def cores_for(self, workload, core):
        """The cores a process may run on: its own, or any."""
        return self.cores if workload.all_cores else {core}


class Runner:
    """One workload: the origin, and each proxy with its measurements."""

    def __init__(self, bench, workload, proxies):
        self.bench, self.workload = bench, workload
        self.proxies = proxies
        self.found = {proxy.name: {"rounds": []} for proxy in proxies}
        self.children, self.setups = {}, {}

    def run(self):
        """Measures and returns the results by proxy. Ends all processes it has started."""
        try:
            self.start_origin()
            (self.idle_rounds if self.workload.how == IDLE else self.load_rounds)()
        finally:
            self.stop()
        return self.found

    def stop(self):
        """Ends all processes, the origin last."""
        for name in reversed(list(self.children)):
            self.children.pop(name).stop()

    def start_origin(self):
        """Starts the origin of this workload and checks its responses without a proxy."""
        bench, workload = self.bench, self.workload
        self.origin_port = free_port()
        count = len(bench.cores) if workload.all_cores else 1
        cores = bench.cores_for(workload, bench.origin_core)
        command = [bench.origin, str(self.origin_port), str(count)]
        by_nginx = workload.needs in (TLS_ENDPOINTS, H2_BOTH)
        if by_nginx:
            if not bench.nginx:
                raise Failed("nginx, the endpoint of this workload, is missing: run tools/bench --install")
            command = known.nginx_origin(
                bench.nginx, self.origin_port, expected(workload.answer).decode(),
                bench.certificates if workload.needs == TLS_ENDPOINTS else None,
                bench.descriptors, bench.folder,
            )
        self.children["the origin"] = Child(command, cores, os.path.join(bench.folder, "origin.log"))
        self.children["the origin"].wait_listening(self.origin_port)
        self.probe(self.origin_port, workload.needs if by_nginx else HTTP)

    def start(self, proxy):
        """Starts a proxy and checks one response; returns whether that succeeded."""
        bench, workload = self.bench, self.workload
        folder = os.path.join(bench.folder, workload.name, proxy.name)
        os.makedirs(folder, exist_ok=True)
        setup = Setup(
            free_port(), self.origin_port, free_port(), workload.needs,
            workload.routes, workload.all_cores, workload.connections * workload.streams, bench.descriptors,
            bench.certificates, folder,
        )
        command = proxy.command(setup)
        self.found[proxy.name]["settings"] = settings_of(command, folder)
        try:
            cores = bench.cores_for(workload, bench.proxy_core)
            child = Child(command, cores, os.path.join(folder, "log"))
            self.children[proxy.name] = child
            self.setups[proxy.name] = setup
            child.wait_listening(setup.listen)
            self.probe(setup.listen, HTTP if workload.needs == TLS_ENDPOINTS else workload.needs)
        except Failed as why:
            self.found[proxy.name]["invalid"] = str(why)
            self.drop(proxy)
            return False
        return True

    def drop(self, proxy):
        """Ends a proxy."""
        child = self.children.pop(proxy.name, None)
        if child:
            child.stop()

    def probe(self, port, needs):
        """Sends one request: the response must be complete and byte for byte the origin's. With TLS,
        version and cipher must be those that everyone has."""
        workload = self.workload
        paths = [f"/r{i:04}{workload.path}" for i in (0, workload.routes - 1)]
        ask = clients.ask_http2 if needs in HTTP2 else clients.ask
        for path in paths if workload.routes else [workload.path]:
            trusted = self.bench.certificates if needs in (*TLS_CLIENTS, TLS_ENDPOINTS) else None
            status, body = ask(port, path, workload.upload, trusted)
            if status != 200 or body != expected(workload.answer):
                raise Failed(f"wrong answer to {path}: {status}, {len(body)} bytes")

    def step(self, what, proxy, seconds):
        """Shows what begins now."""
        self.bench.progress.step(f"{self.workload.name}: {what}, {proxy.name}", seconds)

    # Load.

    def load_rounds(self):
        """Interleaves the rounds of all proxies, starting with another one each time, so that noise on
        the machine affects all of them."""
        bench = self.bench
        running = [proxy for proxy in self.proxies if self.start(proxy)]
        for proxy in running:
            self.step("warm-up", proxy, WARM_SECONDS)
            self.load(proxy, WARM_SECONDS)
        for number in range(bench.rounds):
            shift = number % max(1, len(running))
            for proxy in running[shift:] + running[:shift]:
                self.step(f"round {number + 1} of {bench.rounds}", proxy, bench.seconds)
                self.found[proxy.name]["rounds"].append(self.load_round(proxy))
        if bench.syscalls:
            for proxy in running:
                self.step("system calls", proxy, SYSCALL_SECONDS)
                self.found[proxy.name].update(self.count_syscalls(proxy))

    def load_round(self, proxy):
        """One round: the figures of the load, and what the proxy used."""
        pids = self.children[proxy.name].tree()
        cores = self.bench.cores_for(self.workload, self.bench.proxy_core)
        before = (time.monotonic(), processes.cpu_seconds(pids), processes.system_ticks(pids),
                  processes.core_ticks(cores))
        memory = {}

        def halfway():
            memory.update(processes.memory(pids))

        result, invalid = self.load(proxy, self.bench.seconds, halfway)
        wall = time.monotonic() - before[0]
        cpu = processes.cpu_seconds(pids) - before[1]
        user, system = (now - then for now, then in zip(processes.system_ticks(pids), before[2]))
        busy, stolen, total = (
            now - then for now, then in zip(processes.core_ticks(cores), before[3])
        )
        if self.children[proxy.name].process.poll() is not None:
            invalid = f"ended during the round: {self.children[proxy.name].tail()}"
        share = cpu / wall / len(cores)
        return {
            **result, **memory, "invalid": invalid, "cpu_s": cpu, "wall_s": wall,
            "cpu_us": cpu / result["requests"] * 1e6 if result.get("requests") else None,
            "system_share": system / (user + system) if user + system else None,
            "proxy_busy": share,
            "others_busy": max(0.0, busy / total - share) if total else 0.0,
            "stolen": stolen / total if total else 0.0,
        }

    def load(self, proxy, seconds, halfway=None, before=()):
        """Loads a proxy; returns the figures, and why they are invalid if they are."""
        bench, workload = self.bench, self.workload
        maker = h2load if workload.needs in HTTP2 else wrk
        command = [*before, *maker.command(bench, workload, self.setups[proxy.name].listen, seconds)]
        cores = bench.cores_for(workload, bench.load_core)
        child = self.children["the load"] = Child(command, cores, os.path.join(bench.folder, "load.log"))
        try:
            time.sleep(seconds / 2)
            if halfway:
                halfway()
            child.process.wait(seconds / 2 + GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return {}, f"the load had not ended {GRACE_SECONDS} s after its time"
        finally:
            self.children.pop("the load").stop()
        return maker.judge(workload, child)

    # System calls.

    def count_syscalls(self, proxy):
        """System calls per request, or why they could not be counted. Counted in a separate run, since
        counting slows the proxy down."""
        pids = ",".join(map(str, self.children[proxy.name].tree()))
        counter = perf_syscalls if has_perf() else strace_syscalls
        try:
            calls, result, invalid, tool = counter(self, proxy, pids)
        except Failed as why:
            return {"no_syscalls": str(why)}
        if invalid or not result.get("requests") or not calls:
            return {"no_syscalls": invalid or "nothing was counted"}
        return {"syscalls": calls / result["requests"], "syscalls_with": tool}

    # Idle clients.

    def idle_rounds(self):
        """Runs each round with a new process, so that no memory is left over from the previous one."""
        rounds = min(IDLE_ROUNDS, self.bench.rounds)
        for number in range(rounds):
            for proxy in self.proxies:
                self.step(f"round {number + 1} of {rounds}", proxy, IDLE_ROUND_SECONDS)
                if self.start(proxy):
                    self.found[proxy.name]["rounds"].append(self.idle_round(proxy))
                    self.drop(proxy)

    def idle_round(self, proxy):
        """The memory growth caused by clients that have sent one request each and are now idle."""
        pids = self.children[proxy.name].tree()
        count = self.workload.connections
        needs = self.workload.needs
        clients_of = clients.IdleClients(
            self.setups[proxy.name].listen,
            self.bench.certificates.authority if needs in TLS_CLIENTS else None, needs in HTTP2,
        )
        clients_of.hold(64)
        time.sleep(0.5)
        before = processes.memory(pids)
        idle, invalid = [], None
        try:
            idle = clients_of.open(count)
            time.sleep(1)
            after = processes.memory(pids)
            lost = sum(1 for client in idle if not clients_of.is_open(client))
            invalid = f"{lost} of {count} idle clients were cut off" if lost else None
        except OSError as error:
            return {"invalid": f"{len(idle)} clients, then: {error}"}
        finally:
            for client in idle:
                client.close()
        growth = {
            f"{key}_bytes_per_client": (after[f"{key}_kib"] - before[f"{key}_kib"]) * 1024 / count
            for key in ("rss", "pss")
        }
        return {**growth, **after, "before_pss_kib": before["pss_kib"], "invalid": invalid}


def settings_of(command, folder):
    """The command and its files, for the report; long lists are shortened."""
    def shorten(words):
        return words if len(words) < 40 else [*words[:12], f"… {len(words) - 12} more words"]

    text = ["$ " + " ".join(shorten(command)).replace(folder, "DIR")]
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if os.path.isfile(path) and name.startswith(("nginx.conf", "haproxy.cfg", "config")):
            with open(path, encoding="utf-8") as file:
                lines = file.read().replace(folder, "DIR").strip().splitlines()
            text += lines if len(lines) < 60 else [*lines[:45], f"… {len(lines) - 45} more lines"]
    return "\n".join(text)


def has_perf():
    """Whether perf may count system calls here."""
    command = ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "true"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and re.search(r"^\d+,", done.stderr, re.MULTILINE) is not None


def perf_syscalls(runner, proxy, pids):
    """Counts with perf, which hardly slows the proxy."""
    report = os.path.join(runner.bench.folder, "perf.csv")
    perf = ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", pids, "-o", report, "--"]
    result, invalid = runner.load(proxy, SYSCALL_SECONDS, before=perf)
    with open(report, encoding="utf-8", errors="replace") as file:
        count = re.search(r"^(\d+),", file.read(), re.MULTILINE)
    return int(count[1]) if count else 0, result, invalid, "perf"


def strace_syscalls(runner, proxy, pids):
    """Counts with strace, which slows the proxy so much that it finds more to do at each wakeup."""
    report = os.path.join(runner.bench.folder, "strace.txt")
    cores = runner.bench.cores_for(runner.workload, runner.bench.load_core)
    command = ["strace", "-c", "-f", "-o", report, "-p", pids]
    strace = runner.children["strace"] = Child(command, cores, report + ".log")
    try:
        time.sleep(0.3)
        if strace.process.poll() is not None:
            raise Failed(f"strace: {strace.tail()}")
        result, invalid = runner.load(proxy, SYSCALL_SECONDS)
        strace.process.send_signal(signal.SIGINT)
        strace.process.wait(processes.STOP_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise Failed("strace did not end") from error
    finally:
        runner.children.pop("strace").stop()
    with open(report, encoding="utf-8", errors="replace") as file:
        total = re.search(r"^100\.00\s+\S+\s+(?:\S+\s+)?(\d+)\s+(?:\d+\s+)?total$", file.read(), re.MULTILINE)
    return int(total[1]) if total else 0, result, invalid, "strace"


def seconds_of(bench, workload, proxies):
    """The approximate duration of a workload, in seconds."""
    if workload.how == IDLE:
        return len(proxies) * min(IDLE_ROUNDS, bench.rounds) * IDLE_ROUND_SECONDS
    each = WARM_SECONDS + bench.rounds * bench.seconds + bench.syscalls * SYSCALL_SECONDS
    return len(proxies) * each


def skipped(workload, proxy):
    """Why a proxy is not measured with a workload, or None if it is."""
    if proxy.is_variant:
        return None if proxy.name in workload.variants else ""
    if proxy.name in workload.without:
        return "it opens a connection to the origin for each client: no floor here"
    if workload.needs not in proxy.needs:
        return proxy.missing.get(workload.needs, f"{workload.needs}: not configured for it")
    return None
