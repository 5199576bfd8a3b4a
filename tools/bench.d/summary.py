"""Turns raw rounds into figures: medians, ratios to nginx per round, and caveats."""

from statistics import median

from workloads import IDLE

BASELINE = "nginx"

# Below this, the load or the origin was the limit, not the proxy.
BUSY_MIN = 0.9

# Above this, other processes used part of the proxy's core.
OTHERS_MAX = 0.05

# Above this, the hypervisor did.
STOLEN_MAX = 0.02


def of(rounds, key):
    """The values of the rounds that have one."""
    return [each[key] for each in rounds if each.get(key) is not None]


def middle(rounds, key):
    """Their median, or None."""
    values = of(rounds, key)
    return median(values) if values else None


def invalid_of(measured):
    """Why the figures of a proxy are invalid, or None."""
    if measured.get("invalid"):
        return measured["invalid"]
    wrong = [each["invalid"] for each in measured["rounds"] if each["invalid"]]
    if wrong:
        return f"{len(wrong)} of {len(measured['rounds'])} rounds: {wrong[0]}"
    return None if measured["rounds"] else "no round was run"


def ratios(measured, baseline, key):
    """The ratio of each round to the baseline's of the same round."""
    if not baseline or invalid_of(baseline):
        return []
    pairs = zip(of(measured["rounds"], key), of(baseline["rounds"], key))
    return [mine / its for mine, its in pairs if its]


def spread(values):
    """Median, least and most, or None."""
    return {"median": median(values), "min": min(values), "max": max(values)} if values else None


def load_figures(measured, baseline):
    """The figures of a proxy under load."""
    rounds = measured["rounds"]
    keys = ("cpu_us", "rps", "p50_us", "p99_us", "proxy_busy", "others_busy", "stolen", "system_share")
    figures = {key: middle(rounds, key) for key in keys}
    figures["ratio"] = spread(ratios(measured, baseline, "cpu_us"))
    for key in ("rss_kib", "pss_kib"):
        figures[key] = max(of(rounds, key), default=None)
    figures["syscalls"] = measured.get("syscalls")
    return figures


def idle_figures(measured, baseline):
    """The figures of a proxy that holds idle clients."""
    rounds = measured["rounds"]
    keys = ("pss_bytes_per_client", "rss_bytes_per_client", "before_pss_kib", "pss_kib", "rss_kib")
    figures = {key: middle(rounds, key) for key in keys}
    figures["ratio"] = spread(ratios(measured, baseline, "pss_bytes_per_client"))
    return figures


def summarise(result):
    """One entry of the results: figures, or why there are none, by proxy."""
    baseline = result["proxies"].get(BASELINE)
    figures = idle_figures if result["how"] == IDLE else load_figures
    cells = {}
    for name, measured in result["proxies"].items():
        if "skipped" in measured:
            cells[name] = {"skipped": measured["skipped"]}
        elif invalid_of(measured):
            cells[name] = {"invalid": invalid_of(measured)}
        else:
            cells[name] = figures(measured, baseline)
    return cells


def is_load_bound(result, cell):
    """Whether the proxy was partly idle, so that its requests per second are not its limit."""
    busy = cell.get("proxy_busy")
    return busy is not None and not result["all_cores"] and busy < BUSY_MIN


def doubts(result):
    """Caveats about this workload, in sentences."""
    cells = summarise(result)
    found = []
    disturbed = {} if result["all_cores"] else shares(cells, "others_busy", OTHERS_MAX)
    idle = {
        name: cell["proxy_busy"] for name, cell in cells.items()
        if is_load_bound(result, cell) and name not in disturbed
    }
    if idle:
        found.append(
            f"load or origin was the limit, and requests/s are no maximum, for {listed(idle)} of the "
            "core busy"
        )
    if disturbed:
        found.append(f"noise: others used the core of the proxy, during {listed(disturbed)}")
    stolen = shares(cells, "stolen", STOLEN_MAX)
    if stolen:
        found.append(f"noise: the hypervisor took the core away, during {listed(stolen)}")
    uncounted = {name: each["no_syscalls"] for name, each in result["proxies"].items() if "no_syscalls" in each}
    if uncounted:
        found.append("system calls were not counted: " + "; ".join(f"{n}: {why}" for n, why in uncounted.items()))
    return found


def shares(cells, key, most):
    """The shares above a bound, by proxy."""
    return {name: cell[key] for name, cell in cells.items() if (cell.get(key) or 0) > most}


def listed(by_proxy):
    """Shares for a sentence."""
    return ", ".join(f"{name} {share:.0%}" for name, share in by_proxy.items())
