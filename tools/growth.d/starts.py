"""Starts and reloads by the number of routes."""

import signal
import time

from process import ORIGIN, PORT, PROGRESS, Running


# What a route may have besides its path; `place` distinguishes it.
RULES = ", methods: [GET], max_body: 1m, request_headers: {{set: {{X-Tenant: '{place:06}'}}}}"


def section(_, binary, folder, quick):
    rows = [measure(binary, folder, count) for count in ([1000, 20_000] if quick else [1000, 10_000, 50_000, 100_000])]
    # Upstreams of their own too: what workers have of them goes by their number.
    many = measure(binary, folder, rows[-1][0], upstreams=2000 if quick else 10_000)
    ruled = measure(binary, folder, rows[-1][0], rules=RULES)
    lines = ["## Starts and reloads", "",
             "| routes | upstreams | start, s | memory per route, B | reload, s | a worker's CPU time at a reload, ms | "
             "when all upstreams change, ms |", "|---|---|---|---|---|---|---|"]
    lines += ["| " + " | ".join(f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row) + " |"
              for row in [*rows, many, ruled]]
    return "\n".join([*lines, "", "A reload adds one route; memory is that of a process with one route less. Rules are a method, the most "
                                  "bytes of a body and a request header that is set. What a worker does, it does in "
                                  "steps: between two of them requests have their turn."])


def write(file, count, upstreams, rules="", extra=0, keep="50s"):
    listed = "\n".join(f"  - {{name: u{place}, endpoints: ['127.0.{place // 250}.{1 + place % 250}:{ORIGIN}']}}"
                       for place in range(upstreams))
    entries = "\n".join(f"  - {{prefix: /tenant/{place:06}, upstream: u{place % upstreams}{rules.format(place=place)}}}"
                        for place in range(count + extra))
    file.write_text(f"check: off\nupstream_keepalive_timeout: {keep}\nupstreams:\n{listed}\nroutes:\n{entries}\n")


def measure(binary, folder, count, upstreams=1, rules=""):
    PROGRESS.step(f"starts: {count} routes, {upstreams} upstreams{', with rules' if rules else ''}")
    file, log = folder / "starts.yaml", folder / "starts.log"
    words = [binary, "--listen", f"127.0.0.1:{PORT}", "--threads", "2", "-c", str(file), "--error-log", str(log)]
    write(file, 1, 1)
    with Running(words, PORT) as process:
        time.sleep(0.5)
        empty = process.memory()
    log.unlink()
    write(file, count, upstreams, rules)
    with Running(words, PORT) as process:
        time.sleep(1.5)
        each = (process.memory() - empty) / count
        write(file, count, upstreams, rules, 1)
        took, spent = reload(process, log, 1)
        write(file, count, upstreams, rules, 1, "49s")
        _, changed = reload(process, log, 2)
        started_in = process.started_in
    log.unlink()
    return f"{count}, each with rules" if rules else count, upstreams, started_in, round(each), took, spent * 1e3, changed * 1e3


def reload(process, log, times):
    """How long it takes, and the most CPU time that a worker has spent on it within two seconds."""
    before, begun = process.threads(), time.monotonic()
    process.process.send_signal(signal.SIGHUP)
    while log.read_text().count("reloaded: ") < times:
        if time.monotonic() > begun + 60:
            raise SystemExit(f"tools/growth: no reload: {log.read_text()[-500:]}")
        time.sleep(0.01)
    took = time.monotonic() - begun
    time.sleep(1.2)
    after = process.threads()
    workers = [name for name in after if name.startswith("worker-")]
    return took, max(after[name] - before[name] for name in workers)
