"""What checks cost by the number of endpoints."""

import resource
import subprocess
import time

from process import ORIGIN, PORT, PROGRESS, evener, origin


def section(_, binary, folder, quick):
    lines = ["## Checks", "",
             "| endpoints | check | CPU of Evener, % of a core |", "|---|---|---|"]
    with origin(binary):
        for count in [100, 1000] if quick else [100, 1000, 5000, 10_000]:
            for check in ("off", "tcp", "http:/up"):
                lines.append(f"| {count} | `{check}` | {idle(binary, folder, count, check, 2 if quick else 5):.2f} |")
        rare = idle(binary, folder, count, "http:/up", 2 if quick else 10, "10s", 12)
        lines.append(f"| {count} | `http:/up`, every 10 s | {rare:.2f} |")
        # Where requests come to each endpoint at least twice a second.
        count = 500 if quick else 2000
        for check in ("off", "tcp"):
            share = busy(binary, folder, count, check, 3 if quick else 6)
            lines.append(f"| {count} | `{check}`, while requests go to all of them: thread of the checks alone | {share:.2f} |")
    return "\n".join([
        *lines, "",
        "Every second, unless it says otherwise; CPU time is counted in ticks of 10 ms, so the figures are good to 0.2. Endpoints are addresses of the same machine, so half of the kernel's work for a "
        "connection, which otherwise the endpoint does, is counted here too. Of N descriptors, checks over HTTP keep N/2 − 192 connections, "
        f"one less for each client: here {resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2 - 192} at most. Beyond that they open one each time."])


def write(folder, count, check, interval="1s"):
    PROGRESS.step(f"checks: {count} endpoints, {check}, every {interval}")
    file = folder / "checks.yaml"
    listed = "\n".join(f"      - 127.0.{place // 250}.{1 + place % 250}:{ORIGIN}" for place in range(count))
    file.write_text(f"check: {check}\ncheck_interval: {interval}\nmax_idle: 2\nupstreams:\n"
                    f"  - name: app\n    endpoints:\n{listed}\nroutes: [{{upstream: app}}]\n")
    return file


def idle(binary, folder, count, check, seconds, interval="1s", warm=2):
    """The share of a core, in percent, after the first check of each endpoint, which opens its connection."""
    with evener(binary, ["-c", str(write(folder, count, check, interval))]) as process:
        time.sleep(warm)
        before = process.cpu()
        time.sleep(seconds)
        return (process.cpu() - before) / seconds * 100


def busy(binary, folder, count, check, seconds):
    with evener(binary, ["-c", str(write(folder, count, check))]) as process:
        words = ["wrk", "-t1", "-c8", f"-d{seconds + 3}s", f"http://127.0.0.1:{PORT}/"]
        load = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        time.sleep(2)
        before = process.threads()["checks"]
        time.sleep(seconds)
        spent = process.threads()["checks"] - before
        load.wait()
        return spent / seconds * 100
