"""What both parts of tools/interop need: processes with ports, time limits and tables."""

import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

CASE_LIMIT = 30  # s


def catch_signals():
    """As with Ctrl-C, nothing is left running; a case that takes too long fails."""
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.default_int_handler)
    signal.signal(signal.SIGALRM, out_of_time)


def out_of_time(*_):
    raise TimeoutError(f"not done in {CASE_LIMIT} s")


@contextmanager
def running(command, port, log, environment=None):
    """Runs a command during a block, which starts once its port accepts connections."""
    with open(log, "w") as file:
        settings = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"} | (environment or {})
        process = subprocess.Popen(command, stdout=file, stderr=file, env=settings)
    try:
        for _ in range(100):
            if process.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        else:
            process.kill()
            process.wait()
        if process.poll() is not None:
            raise SystemExit(f"{command[0]} did not start: {log}\n{Path(log).read_text()}")
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def table(columns):
    names = list(next(iter(columns.values())))
    lines = [["", *columns], ["---"] * (len(columns) + 1)]
    lines += [[name, *(rows[name] for rows in columns.values())] for name in names]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    padded = [
        [cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)
