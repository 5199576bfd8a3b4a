"""Runs the cases with clients that speak HTTP/2, in plain and over TLS, and a few of the origins, with Evener
between them: some speak HTTP/1.1, and some HTTP/2, in plain to clients in plain and over TLS to those over TLS.
`http2.py EVENER [GO_CLIENT GO_ORIGIN]`, the paths of binaries; tools/interop builds them and calls this.
"""

import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import closing
from pathlib import Path

from cases import ALWAYS, HTTP2, IF_BOTH_CAN, LARGE, SMALL, UPLOAD, equal
from h2_clients import clients
from harness import CASE_LIMIT, catch_signals, running, table
from origins import http2_origins, nginx, node, uvicorn
from pki import Authority
from ports import free_ports

STARTED = time.monotonic()
EVENER, GO_CLIENT, GO_ORIGIN = [*sys.argv[1:], "", ""][:3]


def h2load(port, authority, paths):
    """Many connections and streams for a second each."""
    base = f"https://localhost:{port}" if authority else f"http://127.0.0.1:{port}"
    for words, path in zip((["-c16", "-m32"], ["-c2", "-m4"], ["-c1", "-m20"]), paths, strict=True):
        command = ["h2load", "-D1", *words, base + path]
        done = subprocess.run(command, capture_output=True, text=True, timeout=CASE_LIMIT)
        lines = re.findall(r"^(?:requests|status codes):.*", done.stdout, re.MULTILINE)
        assert done.returncode == 0 and len(lines) == 2, done.stdout + done.stderr
        counts = {name: int(count) for count, name in re.findall(r"(\d+) (\w+)", " ".join(lines))}
        assert counts["done"] > 0, lines
        equal((counts["failed"], counts["3xx"], counts["4xx"], counts["5xx"]), (0, 0, 0, 0), "failures")


def row(work, subject, cases, argument):
    """Runs the cases up to the first that fails, whose details are logged."""
    began, failed = time.monotonic(), None
    for number, (case, run) in enumerate(cases.items()):
        signal.alarm(CASE_LIMIT)
        try:
            run(argument)
        except Exception:  # whatever a client raises
            failed = f"FAIL {case} (after {number})"
            with open(work / "failures.log", "a") as log:
                log.write(f"== {subject}: {case}\n{traceback.format_exc()}\n")
            break
        finally:
            signal.alarm(0)
    result = failed or f"ok {len(cases)}"
    print(f"{subject:45} {result}  ({time.monotonic() - began:.1f} s)", flush=True)
    return result


def column(origin, work, ports, identity, authority):
    """The results of each client with this origin."""
    log, rows = work / origin.name.replace(" ", "-"), {}
    plain, tls = next(ports), next(ports)
    balance = [EVENER, "--threads", "2", "--max-head", "64k", "--route", f"/={origin.scheme}://127.0.0.1:{origin.port}"]
    balance += ["--listen", f"127.0.0.1:{plain}", "--listen-tls", f"127.0.0.1:{tls}"]
    balance += ["--cert", identity.cert, "--key", identity.key]
    balance += ["--upstream-ca", authority] if origin.scheme == "h2" else []
    sides = [(plain, None, "")] if origin.scheme != "h2" else []
    sides += [(tls, authority, " over TLS")] if origin.scheme != "h2c" else []
    with running(origin.command, origin.port, f"{log}.origin.log", origin.environment):
        with running(balance, plain, f"{log}.evener.log") as evener:
            for port, trusted, how in sides:
                for make in clients(GO_CLIENT):
                    with closing(make(port, trusted)) as client:
                        both = client.can & origin.can
                        cases = ALWAYS | HTTP2 | {name: IF_BOTH_CAN[name] for name in IF_BOTH_CAN if name in both}
                        lacks = origin.lacks | (set() if client.shares else {"at once"})
                        cases = {case: run for case, run in cases.items() if case not in lacks}
                        name = client.name + how
                        rows[name] = row(work, f"{name}, {origin.name}", cases, client)
                paths = ["/small", "/large", "/small" if "chunked answer" in origin.lacks else "/chunked"]
                loads = {"load": lambda _: h2load(port, trusted, paths)}  # noqa: B023: called at once
                rows[f"h2load{how}"] = row(work, f"h2load{how}, {origin.name}", loads, None)
        said = Path(f"{log}.evener.log").read_text()
        well = evener.returncode == 0 and not re.search("panicked|WARN|ERROR", said)
        rows["Evener's exit"] = "ok" if well else f"FAIL exit {evener.returncode} or log"
    return rows


def main():
    catch_signals()
    work = Path(tempfile.mkdtemp(prefix="interop."))
    work.chmod(0o755)  # nginx drops root before it reads
    folder = work / "served"
    folder.mkdir()
    (folder / "small").write_bytes(SMALL)
    (folder / "large").write_bytes(LARGE)
    (work / "upload").write_bytes(UPLOAD[:1000])
    authority = Authority(work, "authority")
    identity = authority.issue("localhost", ["localhost", "127.0.0.1"])
    ports = free_ports()
    try:
        used = [nginx(work, folder, next(ports)), uvicorn("httptools", "websockets", folder, next(ports))]
        used += [node(folder, next(ports)), *http2_origins(work, folder, identity, GO_ORIGIN, ports)]
        columns = {origin.name: column(origin, work, ports, identity, authority.cert) for origin in used}
    except KeyboardInterrupt:
        shutil.rmtree(work)
        return 130
    # One table for each protocol of the origins, which have the same rows.
    for scheme in ("http", "h2c", "h2"):
        names = [origin.name for origin in used if origin.scheme == scheme]
        print(f"\n{table({name: columns[name] for name in names})}")
    if any(not row.startswith("ok") for rows in columns.values() for row in rows.values()):
        print(f"\nfailed: see {work}/failures.log and the logs beside it")
        return 1
    print(f"\nall passed in {time.monotonic() - STARTED:.0f} s")
    shutil.rmtree(work)
    return 0


sys.exit(main())
