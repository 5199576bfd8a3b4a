"""CPU time per request and latency by what there is much of."""

import re
import socket
import subprocess
import time

from process import ORIGIN, PORT, PROGRESS, evener, origin

GIB = 1 << 30


def section(name, binary, folder, quick):
    """A table of one curve, with its line."""
    title, unit, points, measure = CURVES[name]
    points = [points[0], points[len(points) // 2], points[-1]] if quick else points
    seconds = 1 if quick else 4
    rows = []
    with origin(binary):
        for count in points:
            PROGRESS.step(f"{name}: {count}")
            rows.append((count, *measure(binary, folder, count, seconds)))
    lines = [f"## {title}", "", f"![{title}](images/growth-{name}.svg)", "",
             f"| {unit} | CPU time per request, µs | p99, ms |", "|---|---|---|"]
    lines += [f"| {count} | {cpu * 1e6:.4g} | {p99 * 1e3:.3g} |" for count, cpu, p99 in rows]
    # With one connection nothing is done in batches, which would pull the line down.
    return "\n".join([*lines, "", fit(rows[1:] if name == "connections" else rows, unit)])


def fit(rows, unit):
    """The line of least squares through the CPU times, in words."""
    xs, ys = [row[0] for row in rows], [row[1] * 1e6 for row in rows]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mean_x) ** 2 for x in xs) or 1
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys)) / spread
    base = mean_y - slope * mean_x
    grows = slope * (max(xs) - min(xs))
    if abs(grows) < 0.25 * max(base, min(ys)):
        return f"Flat: the line of least squares changes by less than a quarter; the largest is {max(ys) / min(ys):.2f} times the smallest."
    return (f"Linear: the line of least squares rises by {slope * 1000:.3g} ns for each {unit.removesuffix('s')}. It says little of the smallest "
            "numbers, which hardly move it.")


def load(process, connections, seconds, path="/", headers=(), host="a"):
    """wrk; CPU time per request and p99, in seconds."""
    words = ["wrk", f"-t{min(connections, 2)}", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "20s"]
    for header in [f"Host: {host}", *headers]:
        words += ["-H", header]
    subprocess.run([*words[:3], "-d1s", words[-2], words[-1], f"http://127.0.0.1:{PORT}{path}"],
                   capture_output=True, check=False)
    before = process.cpu()
    done = subprocess.run([*words, f"http://127.0.0.1:{PORT}{path}"], capture_output=True, text=True, check=False)
    spent = process.cpu() - before
    found = re.search(r"(\d+) requests in", done.stdout)
    if done.returncode or not found or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise SystemExit(f"tools/growth: wrk with {connections} connections failed: {done.stdout}{done.stderr}")
    figure, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout).groups()
    return spent / int(found[1]), float(figure) * {"us": 1e-6, "ms": 1e-3, "s": 1}[unit]


def connections(binary, _, count, seconds):
    with evener(binary, ["--route", f"/=127.0.0.1:{ORIGIN}", "--check", "off"]) as process:
        return load(process, count, seconds)


def routes(binary, folder, count, seconds):
    file = folder / "routes.yaml"
    entries = "\n".join(f"  - {{prefix: /tenant/{place:06}, upstream: app}}" for place in range(count))
    file.write_text(f"check: off\nupstreams: [{{name: app, endpoints: ['127.0.0.1:{ORIGIN}']}}]\nroutes:\n{entries}\n")
    with evener(binary, ["-c", str(file)]) as process:
        return load(process, 64, seconds, f"/tenant/{count // 2:06}/a")


def endpoints(binary, folder, count, seconds):
    file = folder / "endpoints.yaml"
    listed = "\n".join(f"      - 127.{1 + place // 62500}.{place // 250 % 250}.{1 + place % 250}:{ORIGIN}"
                       for place in range(count))
    # As many idle connections as there are clients, as far as there are descriptors.
    idle = max(1, min(64, 6000 // count))
    file.write_text(f"check: off\nmax_idle: {idle}\nupstreams:\n  - name: app\n    endpoints:\n{listed}\n"
                    "routes: [{upstream: app}]\n")
    with evener(binary, ["-c", str(file)]) as process:
        return load(process, 64, seconds)


def headers(binary, _, count, seconds):
    # Fields of at most 250 bytes, as browsers send many; below all limits by default but that on the whole head.
    fields, left = [], count - 30
    while left > 0:
        size = min(left, 350)
        fields.append(f"X-Field-{len(fields):03}: " + "v" * max(size - 17, 1))
        left -= size
    words = ["--route", f"/=127.0.0.1:{ORIGIN}", "--check", "off", "--max-head", "64k"]
    with evener(binary, words) as process:
        return load(process, 64, seconds, headers=fields)


def bodies(binary, _, count, seconds):
    """Whole answers over one connection, read by this process."""
    with evener(binary, ["--route", f"/=127.0.0.1:{ORIGIN}", "--check", "off"]) as process:
        if count <= 1 << 20:
            return load(process, 4, seconds, f"/?bytes={count}")
        client = socket.create_connection(("127.0.0.1", PORT))
        buffer, times = bytearray(1 << 20), []
        before, end = process.cpu(), time.monotonic() + seconds
        while time.monotonic() < end or not times:
            begun = time.monotonic()
            client.sendall(f"GET /?bytes={count} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            left = count + len(client.recv(4096, socket.MSG_PEEK).split(b"\r\n\r\n")[0]) + 4
            while left:
                left -= client.recv_into(buffer, min(len(buffer), left))
            times.append(time.monotonic() - begun)
        spent = process.cpu() - before
        client.close()
        return spent / len(times), sorted(times)[int(len(times) * 0.99)]


CURVES = {
    "connections": ("Connections", "connections", [1, 10, 100, 1000, 3000, 6000, 8000], connections),
    "routes": ("Routes", "routes", [1, 10, 100, 1000, 10_000, 50_000, 100_000], routes),
    "endpoints": ("Endpoints", "endpoints", [1, 10, 100, 1000, 3000, 10_000], endpoints),
    "bodies": ("Bodies", "bytes", [0, 1 << 10, 1 << 16, 1 << 20, 16 << 20, 128 << 20, GIB], bodies),
    "headers": ("Headers", "bytes", [100, 300, 1000, 3000, 10_000, 20_000, 30_000], headers),
}
