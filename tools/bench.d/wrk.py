"""The load of the HTTP/1.1 workloads: wrk with load.lua."""

import json
import os
import re

from workloads import FULL

HERE = os.path.dirname(os.path.abspath(__file__))

# The share of connections that must resume a session: all but the first 64.
RESUMED_MIN = 0.9

ERRORS = {
    "connect": "connections failed", "read": "reads failed", "write": "writes failed",
    "timeout": "requests timed out", "status": "answers were not 2xx",
}


def command(bench, workload, port, seconds):
    """The command, with a thread for each of its cores."""
    threads = min(workload.connections, max(1, len(bench.cores) // 2) if workload.all_cores else 1)
    return [
        *watched(bench, workload),
        "wrk", f"-t{threads}", f"-c{workload.connections}", f"-d{seconds}s", "--timeout", "10s",
        "-s", os.path.join(HERE, "load.lua"), f"{workload.host}:{port}{workload.path}",
        "--", *workload.load_words,
    ]


def watched(bench, workload):
    """What wrk is started with so that its TLS sessions are counted, and forgotten if they must be."""
    if not workload.sessions:
        return []
    what = "forget" if workload.sessions == FULL else "keep"
    return ["env", f"SESSIONS={what}", f"LD_PRELOAD={bench.sessions}"]


def judge(workload, child):
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
    elif result["bytes"] < result["requests"] * workload.answer:
        wrong.append("answers were cut short")
    if workload.sessions:
        wrong.extend(filter(None, [judge_sessions(workload, text)]))
    return result, "; ".join(wrong) or None


def judge_sessions(workload, text):
    """Why the TLS sessions of a finished wrk were not those of the workload, or None."""
    line = re.search(r"^SESSIONS (\d+) (\d+)$", text, re.MULTILINE)
    if not line or int(line[2]) == 0:
        return "the TLS sessions of wrk were not counted"
    resumed, total = int(line[1]), int(line[2])
    wanted = resumed == 0 if workload.sessions == FULL else resumed >= total * RESUMED_MIN
    return None if wanted else f"{resumed} of {total} connections resumed a TLS session"
