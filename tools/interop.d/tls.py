"""Runs the TLS cases: third-party clients against Evener's TLS listener, and Evener against third-party
servers. `tls.py EVENER`, the path of a binary; tools/interop builds it and calls this.
"""

import http.client
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from harness import CASE_LIMIT, catch_signals, running, table
from pki import Authority
from ports import free_ports
from tls_cases import LISTENER, MUTUAL, SERVERS, equal
from tls_clients import Asked, clients
from tls_servers import Setup, servers

STARTED = time.monotonic()
EVENER = sys.argv[1]
# Each reconnect of Node and of s_client is a process.
RECONNECTS = {"Python ssl": 200, "openssl s_client": 200, "Node tls": 60}


class Certificates:
    """Those of servers, and of clients that are accepted or not."""

    def __init__(self, folder):
        self.folder = folder
        self.authority, self.others = Authority(folder, "authority"), Authority(folder, "others")
        self.first = self.authority.issue("first.test", ["first.test", "127.0.0.1"])
        self.exact = self.authority.issue("exact.wild.test", ["exact.wild.test"])
        self.wildcard = self.authority.issue("*.wild.test", ["*.wild.test"])
        self.expired = self.authority.issue("first.test", ["first.test"], days=-1)
        self.alice = self.authority.issue("alice")
        self.late = self.authority.issue("late", days=-1)
        self.mallory = self.others.issue("mallory")

    def renew(self):
        """Puts other certificates in the place of those that Evener shows."""
        for identity, subject, names in (
            (self.first, "first.test", ["first.test", "127.0.0.1"]),
            (self.exact, "exact.wild.test", ["exact.wild.test"]),
            (self.wildcard, "*.wild.test", ["*.wild.test"]),
        ):
            new = self.authority.issue(subject, names)
            shutil.move(new.key, identity.key)
            shutil.move(new.cert, identity.cert)


class Listener:
    """Evener with a TLS listener in front of its own origin."""

    def __init__(self, work, pki, ports, origin, words):
        self.work, self.pki, self.port, self.spare = work, pki, next(ports), next(ports)
        self.log, self.reconnects = work / f"listener.{self.port}.log", 0
        self.words = [EVENER, "--listen-tls", f"127.0.0.1:{self.port}", "--threads", "2"]
        self.words += ["--upgrade-sock", f"{work}/{self.port}.sock", "--route", f"/=127.0.0.1:{origin}"]
        for identity in (pki.first, pki.exact, pki.wildcard):
            self.words += ["--cert", identity.cert, "--key", identity.key]
        self.words += words
        self.processes = []

    def asked(self, **changes):
        return replace(Asked(self.port, authority=self.pki.authority.cert), **changes)

    def start(self, *words):
        with open(self.log, "a") as log:
            self.processes.append(subprocess.Popen([*self.words, *words], stdout=log, stderr=log))

    def wait_for(self, text, count):
        for _ in range(500):
            if len(re.findall(text, self.log.read_text())) >= count:
                return
            time.sleep(0.02)
        raise AssertionError(f"never logged {text!r}: {self.log.read_text()[-500:]}")

    def reload(self):
        self.pki.renew()
        before = len(re.findall("reloaded", self.log.read_text()))
        self.processes[-1].send_signal(signal.SIGHUP)
        self.wait_for("reloaded", before + 1)

    def upgrade(self):
        """Returns when the old process has ended, and with it all that it could answer."""
        old = self.processes[-1]
        old.send_signal(signal.SIGQUIT)
        self.start("-u")
        equal(old.wait(CASE_LIMIT), 0, "exit code")

    def stop(self):
        for process in self.processes:
            process.terminate()
        codes = [process.wait(20) for process in self.processes]
        equal(codes, [0] * len(codes), "exit codes")
        equal(re.findall("panicked.*", self.log.read_text()), [], "log")


@contextmanager
def listening(work, pki, ports, origin, *words):
    listener = Listener(work, pki, ports, origin, list(words))
    listener.start()
    listener.wait_for("listening on", 1)
    try:
        yield listener
    finally:
        listener.stop()


class Endpoint:
    """A third-party server, and Evener in front of it."""

    def __init__(self, server, work, pki, ports):
        self.server, self.work, self.pki, self.ports = server, work, pki, ports

    @contextmanager
    def serving(self, version="1.3", mutual=False, identity=None, extra=None):
        folder = Path(tempfile.mkdtemp(dir=self.work))
        folder.chmod(0o755)
        port, self.port = next(self.ports), next(self.ports)
        authority = self.pki.authority.cert
        setup = Setup(port, folder, identity or self.pki.first, version, authority if mutual else None)
        keys = {"name": "app", "endpoints": f"[https://127.0.0.1:{port}]", "sni": "first.test"}
        keys |= {"ca": authority, "check": "off"} | (extra or {})
        upstream = "\n    ".join(f"{key}: {value}" for key, value in keys.items() if value)
        config = folder / "evener.yaml"
        config.write_text(
            f"listen: [127.0.0.1:{self.port}]\nthreads: 1\nroutes:\n  - {{prefix: /, upstream: app}}\n"
            f"upstreams:\n  - {upstream}\n"
        )
        self.log = folder / "evener.log"
        with running(self.server.command(setup), port, folder / "server.log"):
            with running([EVENER, "-c", str(config)], self.port, self.log):
                yield

    def answer(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/")
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, body

    def get(self):
        """The answer; the same over the pooled connection."""
        for _ in range(3):
            status, body = self.answer()
            equal(status, 200, f"status with {body!r:.200}")
        return body

    def status(self):
        return self.answer()[0]

    def logged(self, text):
        """The log is written by another thread than the answer."""
        for _ in range(100):
            if text in self.log.read_text():
                return
            time.sleep(0.02)
        raise AssertionError(f"no {text!r} in the log: {self.log.read_text()[-500:]}")


def attempt(work, subject, case, run):
    """Runs one case: `ok`, or FAIL with its details in the log of failures."""
    began = time.monotonic()
    signal.alarm(2 * CASE_LIMIT)
    try:
        run()
        result = "ok"
    except (Exception, SystemExit):  # whatever a client raises, and a server that does not start
        result = "FAIL"
        with open(work / "failures.log", "a") as log:
            log.write(f"== {subject}: {case}\n{traceback.format_exc()}\n")
    finally:
        signal.alarm(0)
    print(f"{subject:18} {case:22} {result}  ({time.monotonic() - began:.1f} s)", flush=True)
    return result


def with_clients(work, pki, ports, origin):
    """The results of each client, by name."""
    columns = {}
    authority = pki.authority.cert
    with listening(work, pki, ports, origin) as plain:
        with listening(work, pki, ports, origin, "--client-ca", authority) as mutual:
            for cases, at in ((LISTENER, plain), (MUTUAL, mutual)):
                for client in clients(work):
                    at.reconnects = RECONNECTS.get(client.name, 0)
                    rows = columns.setdefault(client.name, {})
                    for name, (case, need) in cases.items():
                        can = need is None or need in client.can
                        run = lambda: case(client, at)  # noqa: B023, E731: called at once
                        rows[name] = attempt(work, client.name, name, run) if can else "–"
            attempt(work, "curl", "plain HTTP: 400", lambda: plain_http(plain))
    return columns


def plain_http(at):
    done = subprocess.run(["curl", "-sS", "-i", f"http://127.0.0.1:{at.port}/"], capture_output=True, text=True)
    assert done.stdout.startswith("HTTP/1.1 400 ") and "TLS" in done.stdout, done.stdout + done.stderr


def with_servers(work, pki, ports):
    """The results of each server, by name."""
    columns = {}
    for server in servers():
        at = Endpoint(server, work, pki, ports)
        rows = columns[server.name] = {}
        for name, (case, need) in SERVERS.items():
            can = need is None or need in server.can
            run = lambda: case(at)  # noqa: B023, E731: called at once
            rows[name] = attempt(work, server.name, name, run) if can else "–"
    return columns


def main():
    catch_signals()
    work = Path(tempfile.mkdtemp(prefix="interop."))
    work.chmod(0o755)  # servers that drop root read here
    try:
        ports, pki = free_ports(), Certificates(work)
        origin = next(ports)
        command = [EVENER, "origin", "--listen", f"127.0.0.1:{origin}"]
        with running(command, origin, work / "origin.log"):
            tables = [with_clients(work, pki, ports, origin)]
        tables.append(with_servers(work, pki, ports))
    except KeyboardInterrupt:
        shutil.rmtree(work)
        return 130
    for columns in tables:
        print(f"\n{table(columns)}")
    failures = work / "failures.log"
    if failures.exists():
        print(f"\nfailed: see {failures} and the logs beside it")
        return 1
    print(f"\nall passed in {time.monotonic() - STARTED:.0f} s")
    shutil.rmtree(work)
    return 0


sys.exit(main())
