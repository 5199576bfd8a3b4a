"""The load of the HTTP/2 workloads: nghttp2's h2load. It says nothing of percentiles."""

import os
import re

from workloads import TLS_CLIENTS

# The fields Chrome sends to a known site, as load.lua has them, with a field for each cookie.
BROWSER = {
    "cache-control": "max-age=0",
    "sec-ch-ua": '"Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99"',
    "sec-ch-ua-mobile": "?0",
    "sec-ch-ua-platform": '"Linux"',
    "upgrade-insecure-requests": "1",
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
                  "Chrome/142.0.0.0 Safari/537.36",
    "accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
              "image/apng,*/*;q=0.8",
    "sec-fetch-site": "same-origin",
    "sec-fetch-mode": "navigate",
    "sec-fetch-user": "?1",
    "sec-fetch-dest": "document",
    "referer": "http://localhost/overview?tab=recent",
    "accept-encoding": "gzip, deflate, br, zstd",
    "accept-language": "en-GB,en;q=0.9,de;q=0.8",
    "priority": "u=0, i",
}
COOKIES = (
    "session=6b1f0a3f9d2c4e5b8a7d6c5b4a392817", "csrf=YWJjZGVmZ2hpamtsbW5vcA", "theme=dark",
    "_ga=GA1.1.1234567890.1700000000", "_ga_ABCDEF1234=GS1.1.1700000000.5.1.1700000123.0.0.0",
)

# Its units for time.
MICROS = {"us": 1, "ms": 1e3, "s": 1e6}


def command(bench, workload, port, seconds):
    """The command, with one thread."""
    words = [
        "h2load", "-t1", f"-c{workload.connections}", f"-m{workload.streams}", f"-D{seconds}",
    ]
    if workload.needs in TLS_CLIENTS:
        words += ["--tls13-ciphers", bench.certificates.cipher, "--npn-list", "h2"]
    if "browser=1" in workload.words:
        fields = [f"{name}: {value}" for name, value in BROWSER.items()]
        words += [word for field in fields for word in ("-H", field)]
        words += [word for cookie in COOKIES for word in ("-H", f"cookie: {cookie}")]
    if workload.upload:
        words += ["-d", body_of(bench, workload)]
    return [*words, f"{workload.host}:{port}{workload.path}"]


def body_of(bench, workload):
    """The file with the body of each request."""
    path = os.path.join(bench.folder, f"body.{workload.upload}")
    if not os.path.exists(path):
        with open(path, "wb") as file:
            file.write(b"x" * workload.upload)
    return path


def judge(workload, child):
    """The figures of a finished h2load, and why they are invalid if they are."""
    with open(child.log, encoding="utf-8", errors="replace") as log:
        text = log.read()
    found = re.search(
        r"^finished in (?P<time>[\d.]+)(?P<unit>us|ms|s), (?P<rps>[\d.]+) req/s.*?"
        r"^requests: .*? (?P<done>\d+) done, \d+ succeeded, (?P<failed>\d+) failed, "
        r".*? (?P<timeout>\d+) timeout.*?^status codes: \d+ 2xx, (?P<others>.*?)$.*?"
        r"^traffic: .*\((?P<data>\d+)\) data", text, re.MULTILINE | re.DOTALL,
    )
    if child.process.returncode != 0 or not found:
        return {}, f"h2load failed: {child.tail()}"
    done = int(found["done"])
    result = {
        "requests": done, "rps": float(found["rps"]), "bytes": int(found["data"]),
        "duration_us": float(found["time"]) * MICROS[found["unit"]],
    }
    wrong = []
    if not done:
        wrong.append("no request was answered")
    if int(found["failed"]):
        wrong.append(f"{found['failed']} requests failed, {found['timeout']} of them by time-out")
    # Not by those with 2xx: they are counted when their head has come.
    if re.search(r"[1-9]", re.sub(r"\dxx", "", found["others"])):
        wrong.append(f"answers were not 2xx: {found['others']}")
    if result["bytes"] < done * workload.answer:
        wrong.append("answers were cut short")
    return result, "; ".join(wrong) or None
