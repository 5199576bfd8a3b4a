"""What checks cost by the number of endpoints."""

import subprocess
import time

from process import ORIGIN, PORT, evener, origin


def section(_, binary, folder, quick):
    lines = ["## Checks", "",
             "| endpoints | check, every second | CPU of Evener, % of a core |", "|---|---|---|"]
    with origin(binary):
        for count in [100, 1000] if quick else [100, 1000, 10_000]:
            for check in ("off", "tcp", "http:/up"):
                lines.append(f"| {count} | `{check}` | {idle(binary, folder, count, check, 2 if quick else 5):.2f} |")
        # Where requests come to each endpoint at least twice a second.
        count = 500 if quick else 2000
        for check in ("off", "tcp"):
            share = busy(binary, folder, count, check, 3 if quick else 6)
            lines.append(f"| {count} | `{check}`, while requests go to all of them: thread of the checks alone | {share:.2f} |")
    return "\n".join([*lines, "", "Endpoints are addresses of the same machine, so half of the kernel's work for a connection, "
                                  "which otherwise the endpoint does, is counted here too."])


def write(folder, count, check):
    file = folder / "checks.yaml"
    listed = "\n".join(f"      - 127.0.{place // 250}.{1 + place % 250}:{ORIGIN}" for place in range(count))
    file.write_text(f"check: {check}\nmax_idle: 2\nupstreams:\n  - name: app\n    endpoints:\n{listed}\nroutes: [{{upstream: app}}]\n")
    return file


def idle(binary, folder, count, check, seconds):
    with evener(binary, ["-c", str(write(folder, count, check))]) as process:
        time.sleep(2)
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
