"""Runs every case with every pair of client and origin, with Evener between them.

`run.py EVENER HYPER_ORIGIN`, the paths of two binaries; tools/interop builds them and calls this.
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
from importlib import metadata
from pathlib import Path

from cases import ALWAYS, IF_BOTH_CAN, LARGE, SMALL, UPLOAD, loads
from clients import CLIENTS
from harness import CASE_LIMIT, catch_signals, running, table
from origins import HERE, origins
from ports import free_ports

STARTED = time.monotonic()
EVENER, HYPER_ORIGIN = sys.argv[1:3]


def main():
    catch_signals()
    work = Path(tempfile.mkdtemp(prefix="interop."))
    try:
        columns = play(work)
    except KeyboardInterrupt:
        shutil.rmtree(work)
        return 130
    failed = [row for rows in columns.values() for row in rows.values() if not row.startswith("ok")]
    print(f"\n{table(columns)}\n\n{versions()}")
    if failed:
        print(f"{len(failed)} failed: see {work}/failures.log and the logs beside it")
        return 1
    print(f"all passed in {time.monotonic() - STARTED:.0f} s")
    shutil.rmtree(work)
    return 0


def play(work):
    """The rows of each origin, by name."""
    work.chmod(0o755)  # nginx and Apache drop root before they read
    folder = work / "served"
    folder.mkdir()
    (folder / "small").write_bytes(SMALL)
    (folder / "large").write_bytes(LARGE)
    (work / "upload").write_bytes(UPLOAD[:1000])
    ports = free_ports()
    return {
        origin.name: column(origin, next(ports), work)
        for origin in origins(work, folder, HYPER_ORIGIN, ports)
    }


def column(origin, port, work):
    """The results of each client with this origin."""
    log = work / origin.name.replace(" ", "-")
    rows = {}
    balance = [EVENER, "--listen", f"127.0.0.1:{port}", "--route", f"/=127.0.0.1:{origin.port}"]
    with running(origin.command, origin.port, f"{log}.origin.log", origin.environment):
        with running(balance, port, f"{log}.evener.log") as evener:
            for make in CLIENTS:
                with closing(make(port)) as client:
                    cases = cases_of(client, origin)
                    rows[client.name] = row(origin, client.name, cases, client, work)
            for name, cases in loads(work / "upload").items():
                rows[name] = row(origin, name, cases, f"http://127.0.0.1:{port}", work)
        # It has exited on SIGTERM by now, without errors.
        said = Path(f"{log}.evener.log").read_text()
        well = evener.returncode == 0 and not re.search("panicked|WARN|ERROR", said)
        rows["Evener's exit"] = "ok" if well else f"FAIL exit {evener.returncode} or log"
    return rows


def cases_of(client, origin):
    both_can = client.can & origin.can
    return ALWAYS | {name: case for name, case in IF_BOTH_CAN.items() if name in both_can}


def row(origin, name, cases, subject, work):
    """Runs the cases up to the first that fails, whose details are logged."""
    began, passed, failed = time.monotonic(), 0, None
    for case, run in cases.items():
        signal.alarm(CASE_LIMIT)
        try:
            run(subject)
            passed += 1
        except Exception:  # whatever a client raises
            failed = case
            with open(work / "failures.log", "a") as log:
                log.write(f"== {name}, {origin.name}: {case}\n{traceback.format_exc()}\n")
            break
        finally:
            signal.alarm(0)
    result = f"FAIL {failed}" if failed else f"ok {passed}/{len(cases)}"
    print(f"{origin.name:18} {name:14} {result}  ({time.monotonic() - began:.1f} s)", flush=True)
    return result


def versions():
    def first(pattern, *command):
        done = subprocess.run(command, capture_output=True, text=True)
        return re.search(pattern, done.stdout + done.stderr)[1]

    lock = (HERE / "hyper-origin" / "Cargo.lock").read_text()
    said = {
        "evener": first(r"evener (\S+)", EVENER, "--version"),
        "curl": first(r"curl (\S+)", "curl", "--version"),
        "wrk": first(r"wrk (?:debian/)?(\S+)", "wrk", "-v"),
        "ab": first(r"Version (\S+)", "ab", "-V"),
        "nginx": first(r"nginx/(\S+)", "nginx", "-v"),
        "Apache": first(r"Apache/(\S+)", "apache2", "-v"),
        "Node": first(r"v(\S+)", "node", "--version"),
        "undici": first(r"(\S+)", "node", "-p", "process.versions.undici"),
        "hyper": re.search(r'name = "hyper"\nversion = "(.+)"', lock)[1],
        "Python": sys.version.split()[0],
    }
    installed = "requests httpx aiohttp h11 uvicorn httptools wsproto websockets"
    said |= {name: metadata.version(name) for name in installed.split()}
    return ", ".join(f"{name} {version}" for name, version in said.items())


sys.exit(main())
