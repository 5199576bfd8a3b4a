"""Measures a workload: starts the processes, checks them, and loads them in rounds."""

import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass

import processes
import proxies as known
from certificates import Certificates
from processes import Child, Failed
from proxies import Setup
from workloads import FULL, IDLE, RESUMED, TLS, TLS_ENDPOINTS

HERE = os.path.dirname(os.path.abspath(__file__))

WARM_SECONDS = 1
SYSCALL_SECONDS = 1
IDLE_ROUNDS = 3

# The rough duration of an idle round, for the estimate of the time left.
IDLE_ROUND_SECONDS = 4

# The share of connections that must resume a session: all but the first 64.
RESUMED_MIN = 0.9

# How long wrk may exceed its duration before the round is abandoned.
GRACE_SECONDS = 20

ERRORS = {
    "connect": "connections failed", "read": "reads failed", "write": "writes failed",
    "timeout": "requests timed out", "status": "answers were not 2xx",
}


@dataclass
class Bench:
    """Settings shared by all workloads of a run."""

    folder: str
    # The programs that are built for a run, and nginx, which is the origin that speaks TLS.
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
        self.origin_port = processes.free_port()
        count = len(bench.cores) if workload.all_cores else 1
        cores = bench.cores_for(workload, bench.origin_core)
        command = [bench.origin, str(self.origin_port), str(count)]
        if workload.needs == TLS_ENDPOINTS:
            if not bench.nginx:
                raise Failed("nginx, the endpoint that speaks TLS, is missing: run tools/bench --install")
            command = known.nginx_origin(
                bench.nginx, self.origin_port, expected(workload.answer).decode(), bench.certificates,
                bench.descriptors, bench.folder,
            )
        self.children["the origin"] = Child(command, cores, os.path.join(bench.folder, "origin.log"))
        self.children["the origin"].wait_listening(self.origin_port)
        self.probe(self.origin_port, workload.needs == TLS_ENDPOINTS)

    def start(self, proxy):
        """Starts a proxy and checks one response; returns whether that succeeded."""
        bench, workload = self.bench, self.workload
        folder = os.path.join(bench.folder, workload.name, proxy.name)
        os.makedirs(folder, exist_ok=True)
        setup = Setup(
            processes.free_port(), self.origin_port, processes.free_port(), workload.needs,
            workload.routes, workload.all_cores, workload.connections, bench.descriptors,
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
            self.probe(setup.listen, workload.needs == TLS)
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

    def probe(self, port, tls):
        """Sends one request: the response must be complete and byte for byte the origin's. With TLS,
        version and cipher must be those that everyone has."""
        workload, certificates = self.workload, self.bench.certificates
        paths = [f"/r{i:04}{workload.path}" for i in (0, workload.routes - 1)]
        for path in paths if workload.routes else [workload.path]:
            if tls:
                trust = ssl.create_default_context(cafile=certificates.authority)
                connection = http.client.HTTPSConnection("localhost", port, timeout=10, context=trust)
            else:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            try:
                connection.connect()
                if tls:
                    agreed = (connection.sock.version(), connection.sock.cipher()[0])
                    if agreed != (certificates.version, certificates.cipher):
                        raise Failed(f"{' with '.join(agreed)} instead of the cipher of all others")
                method = "POST" if workload.upload else "GET"
                connection.request(method, path, b"x" * workload.upload or None)
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as error:
                raise Failed(f"no answer to {path}: {error or type(error).__name__}") from error
            finally:
                connection.close()
            if answer.status != 200 or body != expected(workload.answer):
                raise Failed(f"wrong answer to {path}: {answer.status}, {len(body)} bytes")

    # Load.

    def load_rounds(self):
        """Interleaves the rounds of all proxies, starting with another one each time, so that noise on
        the machine affects all of them."""
        bench, progress = self.bench, self.bench.progress
        running = [proxy for proxy in self.proxies if self.start(proxy)]
        for proxy in running:
            progress.step(self.workload, "warm-up", proxy, WARM_SECONDS)
            self.wrk(proxy, WARM_SECONDS)
        for number in range(bench.rounds):
            shift = number % max(1, len(running))
            for proxy in running[shift:] + running[:shift]:
                progress.step(self.workload, f"round {number + 1} of {bench.rounds}", proxy, bench.seconds)
                self.found[proxy.name]["rounds"].append(self.load_round(proxy))
        if bench.syscalls:
            for proxy in running:
                progress.step(self.workload, "system calls", proxy, SYSCALL_SECONDS)
                self.found[proxy.name].update(self.count_syscalls(proxy))

    def load_round(self, proxy):
        """One round: the figures of wrk, and what the proxy used."""
        pids = self.children[proxy.name].tree()
        cores = self.bench.cores_for(self.workload, self.bench.proxy_core)
        before = (time.monotonic(), processes.cpu_seconds(pids), processes.system_ticks(pids),
                  processes.core_ticks(cores))
        memory = {}

        def halfway():
            memory.update(processes.memory(pids))

        result, invalid = self.wrk(proxy, self.bench.seconds, halfway)
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

    def wrk_command(self, port, seconds):
        """The wrk command, with a thread for each of its cores."""
        workload = self.workload
        threads = min(workload.connections, max(1, len(self.bench.cores) // 2) if workload.all_cores else 1)
        return [
            "wrk", f"-t{threads}", f"-c{workload.connections}", f"-d{seconds}s", "--timeout", "10s",
            "-s", os.path.join(HERE, "load.lua"), f"{workload.host}:{port}{workload.path}",
            "--", *workload.load_words,
        ]

    def wrk(self, proxy, seconds, halfway=None, before=()):
        """Runs wrk; returns its figures, and why they are invalid if they are."""
        command = [*before, *self.watched(), *self.wrk_command(self.setups[proxy.name].listen, seconds)]
        cores = self.bench.cores_for(self.workload, self.bench.load_core)
        log = os.path.join(self.bench.folder, "wrk.log")
        child = self.children["the load"] = Child(command, cores, log)
        try:
            time.sleep(seconds / 2)
            if halfway:
                halfway()
            child.process.wait(seconds / 2 + GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return {}, f"wrk had not ended {GRACE_SECONDS} s after its time"
        finally:
            self.children.pop("the load").stop()
        return self.judge(child)

    def watched(self):
        """What wrk is started with so that its TLS sessions are counted, and forgotten if they must be."""
        if not self.workload.sessions:
            return []
        what = "forget" if self.workload.sessions == FULL else "keep"
        return ["env", f"SESSIONS={what}", f"LD_PRELOAD={self.bench.sessions}"]

    def judge_sessions(self, text):
        """Why the TLS sessions of a finished wrk were not those of the workload, or None."""
        line = re.search(r"^SESSIONS (\d+) (\d+)$", text, re.MULTILINE)
        if not line or int(line[2]) == 0:
            return "the TLS sessions of wrk were not counted"
        resumed, total = int(line[1]), int(line[2])
        wanted = resumed == 0 if self.workload.sessions == FULL else resumed >= total * RESUMED_MIN
        return None if wanted else f"{resumed} of {total} connections resumed a TLS session"

    def judge(self, child):
        """The figures of a finished wrk, and why they are invalid if they are."""
        with open(child.log, encoding="utf-8", errors="replace") as log:
            text = log.read()
        line = re.search(r"^RESULT (.*)$", text, re.MULTILINE)
        if child.process.returncode != 0 or not line:
            return {}, f"wrk failed: {child.tail()}"
        result = json.loads(line[1])
        result["rps"] = result["requests"] / result["duration_us"] * 1e6
        wrong = [f"{result[key]} {what}" for key, what in ERRORS.items() if result[key]]
        if not result["requests"]:
            wrong.append("no request was answered")
        elif result["bytes"] < result["requests"] * self.workload.answer:
            wrong.append("answers were cut short")
        if self.workload.sessions:
            wrong.extend(filter(None, [self.judge_sessions(text)]))
        return result, "; ".join(wrong) or None

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
                self.bench.progress.step(
                    self.workload, f"round {number + 1} of {rounds}", proxy, IDLE_ROUND_SECONDS
                )
                if self.start(proxy):
                    self.found[proxy.name]["rounds"].append(self.idle_round(proxy))
                    self.drop(proxy)

    def idle_round(self, proxy):
        """The memory growth caused by clients that have sent one request each and are now idle."""
        pids = self.children[proxy.name].tree()
        count = self.workload.connections
        clients_of = IdleClients(
            self.setups[proxy.name].listen,
            self.bench.certificates.authority if self.workload.needs == TLS else None,
        )
        clients_of.hold(64)
        time.sleep(0.5)
        before = processes.memory(pids)
        clients, invalid = [], None
        try:
            clients = clients_of.open(count)
            time.sleep(1)
            after = processes.memory(pids)
            lost = sum(1 for client in clients if not is_open(client))
            invalid = f"{lost} of {count} idle clients were cut off" if lost else None
        except OSError as error:
            return {"invalid": f"{len(clients)} clients, then: {error}"}
        finally:
            for client in clients:
                client.close()
        growth = {
            f"{key}_bytes_per_client": (after[f"{key}_kib"] - before[f"{key}_kib"]) * 1024 / count
            for key in ("rss", "pss")
        }
        return {**growth, **after, "before_pss_kib": before["pss_kib"], "invalid": invalid}


def expected(size):
    """The body the origin sends."""
    alphabet = b"abcdefghijklmnopqrstuvwxyz"
    return (alphabet * (size // 26 + 1))[:size]


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


REQUEST = b"GET /13 HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"


class IdleClients:
    """Clients of a port, over TLS if there is an authority to trust."""

    def __init__(self, port, authority):
        self.port = port
        self.trust = ssl.create_default_context(cafile=authority) if authority else None

    def open(self, count):
        """Clients that have each sent a request and read the response."""
        clients = []
        try:
            for _ in range(count):
                client = socket.create_connection(("127.0.0.1", self.port), timeout=10)
                clients.append(client)
                if self.trust:
                    client = clients[-1] = self.trust.wrap_socket(client, server_hostname="localhost")
                client.sendall(REQUEST)
                answer = b""
                while not answer.endswith(b"\r\n\r\n" + expected(13)):
                    part = client.recv(4096)
                    if not part:
                        raise OSError("closed before its answer")
                    answer += part
        except OSError:
            for client in clients:
                client.close()
            raise
        return clients

    def hold(self, count):
        """Opens and closes this many connections, so that one-time allocations are done."""
        for client in self.open(count):
            client.close()


def is_open(client):
    """Whether the other side has neither closed nor sent anything."""
    client.setblocking(False)
    try:
        # Not a peek: TLS may have had something to say that is no data.
        client.recv(1)
        return False
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False


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
    result, invalid = runner.wrk(proxy, SYSCALL_SECONDS, before=perf)
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
        result, invalid = runner.wrk(proxy, SYSCALL_SECONDS)
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
