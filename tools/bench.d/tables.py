"""The figures as text: for a terminal, and as Markdown for a document."""

import summary
from workloads import IDLE

DASH = "–"


def number(value, digits=3):
    """A number with this many significant digits and grouped thousands."""
    if value is None:
        return DASH
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    places = max(0, digits - len(str(int(abs(value)))))
    return f"{value:.{places}f}"


def span(ratio):
    """A ratio with its spread."""
    if not ratio:
        return DASH
    if ratio["min"] == ratio["max"]:
        return f"{ratio['median']:.2f}"
    return f"{ratio['median']:.2f} ({ratio['min']:.2f}–{ratio['max']:.2f})"


def duration(micros):
    """Microseconds for a reader."""
    if micros is None:
        return DASH
    return f"{number(micros / 1000)} ms" if micros >= 1000 else f"{micros:.0f} µs"


def size(kib):
    """KiB for a reader."""
    return DASH if kib is None else f"{number(kib / 1024)} MiB"


def rate(result, cell):
    """Requests per second; with a mark where they are not the proxy's limit."""
    mark = "†" if summary.is_load_bound(result, cell) else ""
    return number(cell["rps"]) + mark


def share(value):
    """A share in percent."""
    return DASH if value is None else f"{value:.0%}"


LOAD_COLUMNS = (
    ("CPU µs/request", lambda result, cell: number(cell["cpu_us"])),
    ("CPU vs nginx", lambda result, cell: span(cell["ratio"])),
    ("requests/s", rate),
    ("p50", lambda result, cell: duration(cell["p50_us"])),
    ("p99", lambda result, cell: duration(cell["p99_us"])),
    ("memory (PSS)", lambda result, cell: size(cell["pss_kib"])),
    ("syscalls/request", lambda result, cell: number(cell["syscalls"])),
    ("in kernel", lambda result, cell: share(cell["system_share"])),
    ("busy", lambda result, cell: share(cell["proxy_busy"])),
)

IDLE_COLUMNS = (
    ("PSS per client", lambda result, cell: number(cell["pss_bytes_per_client"]) + " B"),
    ("RSS per client", lambda result, cell: number(cell["rss_bytes_per_client"]) + " B"),
    ("vs nginx", lambda result, cell: span(cell["ratio"])),
    ("PSS before", lambda result, cell: size(cell["before_pss_kib"])),
    ("PSS with all", lambda result, cell: size(cell["pss_kib"])),
)


def columns(result):
    """The columns of a workload."""
    return IDLE_COLUMNS if result["how"] == IDLE else LOAD_COLUMNS


def remark(cell):
    """The text in place of figures, or None."""
    if "invalid" in cell:
        return f"INVALID: {cell['invalid']}"
    return f"not measured: {cell['skipped']}" if "skipped" in cell else None


def terminal(result):
    """One workload as aligned lines."""
    head = ["", *(title for title, _ in columns(result))]
    rows, remarks = [head], []
    for name, cell in summary.summarise(result).items():
        if remark(cell):
            remarks.append(f"  {name}: {remark(cell)}")
        else:
            rows.append([name, *(show(result, cell) for _, show in columns(result))])
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = [f"{result['name']}: {result['title']}"]
    for row in rows if len(rows) > 1 else []:
        cells = [row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:]))]
        lines.append("  " + "  ".join(cells))
    return "\n".join(lines + remarks + [f"  ! {doubt}" for doubt in summary.doubts(result)])


def markdown_row(words):
    """A row of a Markdown table, with escaped cells."""
    return "| " + " | ".join(word.replace("|", "\\|") for word in words) + " |"


def markdown_table(title, results, names, show):
    """Workloads down, proxies across."""
    lines = [markdown_row([title, *names]), "|---" * (len(names) + 1) + "|"]
    for result in results:
        cells = summary.summarise(result)
        words = [result["title"]]
        for name in names:
            cell = cells.get(name, {"skipped": ""})
            words.append("**invalid**" if "invalid" in cell else DASH if "skipped" in cell else show(result, cell))
        lines.append(markdown_row(words))
    return "\n".join(lines)


def ratio_cell(_, cell):
    """The ratio; for the baseline, the value that ratios refer to."""
    ratio = cell["ratio"]
    if ratio and ratio["min"] == ratio["max"] == 1:
        return f"1.00 ({number(cell['cpu_us'])} µs)"
    return span(ratio) if ratio else f"{number(cell['cpu_us'])} µs"


def rate_cell(result, cell):
    """Requests per second and the latency of the slowest percent."""
    return f"{rate(result, cell)} ({duration(cell['p99_us'])})"


def idle_cell(_, cell):
    """Bytes per client and the whole."""
    return f"{number(cell['pss_bytes_per_client'])} B ({size(cell['pss_kib'])} in all)"


def names_of(results):
    """The proxies that were measured at all, in order."""
    names = dict.fromkeys(name for result in results for name in result["proxies"])
    return [
        name for name in names
        if any("skipped" not in result["proxies"].get(name, {"skipped": ""}) for result in results)
    ]


def markdown(run):
    """The Markdown tables, with the information needed to judge and repeat them."""
    load = [result for result in run["workloads"] if result["how"] != IDLE]
    idle = [result for result in run["workloads"] if result["how"] == IDLE]
    names = names_of(run["workloads"])
    parts = []
    if load:
        parts.append(markdown_table("CPU per request, nginx = 1", load, names, ratio_cell))
        parts.append(markdown_table("requests/s (p99)", load, names, rate_cell))
    if idle:
        parts.append(markdown_table("memory per idle client (PSS)", idle, names, idle_cell))
    if any(summary.is_load_bound(result, cell) for result in load for cell in summary.summarise(result).values()):
        parts.append("† the proxy did not fill its core (load, origin or noise did): no maximum.")
    parts += [f"**{note}**" for note in run["notes"]]
    versions = "; ".join(f"{name}: {version}" for name, version in run["versions"].items())
    parts.append(
        f"Measured on {run['date']} at {run['revision']} with `{run['command']}`: median of "
        f"{run['rounds']} interleaved rounds of {run['seconds']} s, least and most in brackets. "
        f"{run['cpu']}, {run['cores']} cores, Linux {run['kernel']}. {versions}."
    )
    return "\n\n".join(parts)
