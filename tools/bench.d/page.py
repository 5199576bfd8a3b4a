"""The report: one self-contained HTML file."""

from html import escape

import summary
import tables
from workloads import IDLE

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #667; --line: #d5d9e0; --back: #fff; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7ec; --dim: #9aa3b2; --line: #343b46; --back: #14171c; --bad: #ff8a80; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back);
  max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .2rem .7rem; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
.scroll { overflow-x: auto; } .dim { color: var(--dim); } .bad { color: var(--bad); font-weight: 600; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem 2rem; } pre { overflow-x: auto; font-size: 12px; }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif; } svg .axis { stroke: var(--line); }
svg .whisker { stroke: var(--ink); } svg .mark { stroke: var(--dim); stroke-dasharray: 4 3; }
dt { color: var(--dim); float: left; clear: left; width: 9rem; } dd { margin-left: 9.5rem; }
"""

COLOURS = {
    "evener": "#2f6fde", "nginx": "#3a9d5d", "nginx-unspooled": "#8cc9a1", "haproxy": "#d9822b",
    "relay": "#8a8f98", "relay-splice": "#b9bdc4",
}
OTHERS = ("#9b5de5", "#d1495b", "#00a5a5", "#a98467")

NAME_WIDTH, BAR_WIDTH, LABEL_WIDTH, ROW = 110, 230, 130, 22


def colour(name, names):
    """The colour of a proxy, the same in every plot."""
    return COLOURS.get(name) or OTHERS[names.index(name) % len(OTHERS)]


def bar(index, row, scale, names):
    """A bar with its name, value and spread. A row: name, value, least, most, label."""
    name, value, least, most, label = row
    y, end = index * ROW + 22, NAME_WIDTH + value * scale
    parts = [
        f'<text x="{NAME_WIDTH - 6}" y="{y + 12}" text-anchor="end">{escape(name)}</text>',
        f'<rect x="{NAME_WIDTH}" y="{y}" width="{value * scale:.1f}" height="15" rx="2" '
        f'fill="{colour(name, names)}"/>',
    ]
    if most > least:
        x, to = NAME_WIDTH + least * scale, NAME_WIDTH + most * scale
        parts.append(f'<path class="whisker" d="M{x:.1f} {y + 7.5}H{to:.1f}M{x:.1f} {y + 4}v7M{to:.1f} {y + 4}v7"/>')
        end = max(end, to)
    parts.append(f'<text x="{end + 6:.1f}" y="{y + 12}">{escape(label)}</text>')
    return "".join(parts)


def plot(title, rows, names, marks=()):
    """Bars from zero, and dashed lines at reference values."""
    rows = [row for row in rows if row[1] is not None]
    if not rows:
        return ""
    most = max([row[3] for row in rows] + [at for at, _ in marks])
    scale = BAR_WIDTH / most if most > 0 else 0
    height = len(rows) * ROW + 30
    parts = [f'<text x="0" y="13" font-weight="600">{escape(title)}</text>']
    for at, what in marks:
        x = NAME_WIDTH + at * scale
        parts.append(f'<path class="mark" d="M{x:.1f} 18V{height - 6}"><title>{escape(what)}</title></path>')
    parts += [bar(index, row, scale, names) for index, row in enumerate(rows)]
    parts.append(f'<path class="axis" d="M{NAME_WIDTH} 18V{height - 6}"/>')
    width = NAME_WIDTH + BAR_WIDTH + LABEL_WIDTH
    return (
        f'<svg role="img" aria-label="{escape(title)}" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">{"".join(parts)}</svg>'
    )


def plain(name, value, label):
    """A row without spread."""
    return (name, value, value or 0, value or 0, label)


def spread_row(name, cell):
    """A row with the spread of its ratio."""
    ratio = cell["ratio"] or {"median": None, "min": 0, "max": 0}
    return (name, ratio["median"], ratio["min"], ratio["max"], tables.span(cell["ratio"]))


def load_plots(result, cells, names):
    """CPU, requests per second and latency of one workload."""
    floor = (cells.get("relay") or {}).get("ratio")
    marks = [(1, "nginx")] + ([(floor["median"], "null relay")] if floor else [])
    cpu = [spread_row(name, cell) for name, cell in cells.items()]
    if not any(cell["ratio"] for cell in cells.values()):
        marks, cpu = [], [plain(name, cell["cpu_us"], tables.number(cell["cpu_us"])) for name, cell in cells.items()]
    title = "CPU per request, nginx = 1 (less is better)" if marks else "CPU µs per request"
    latency = [
        plain(name, cell["p99_us"], f"{tables.duration(cell['p50_us'])} / {tables.duration(cell['p99_us'])}")
        for name, cell in cells.items()
    ]
    rates = [plain(name, cell["rps"], tables.rate(result, cell)) for name, cell in cells.items()]
    return (
        plot(title, cpu, names, marks) + plot("requests/s", rates, names)
        + plot("latency at full load, p50 / p99 (bar: p99)", latency, names)
    )


def idle_plots(cells, names):
    """Memory per idle client."""
    rows = [
        plain(name, max(0, cell["pss_bytes_per_client"]), tables.number(cell["pss_bytes_per_client"]) + " B")
        for name, cell in cells.items()
    ]
    return plot("bytes per idle client (PSS)", rows, names)


def table(result):
    """The figures of one workload."""
    columns = tables.columns(result)
    head = "".join(f"<th>{escape(title)}</th>" for title, _ in columns)
    rows = []
    for name, cell in summary.summarise(result).items():
        remark = tables.remark(cell)
        if remark:
            kind = "bad" if "invalid" in cell else "dim"
            body = f'<td class="{kind}" colspan="{len(columns)}" style="text-align:left">{escape(remark)}</td>'
        else:
            body = "".join(f"<td>{escape(show(result, cell))}</td>" for _, show in columns)
        rows.append(f"<tr><td>{escape(name)}</td>{body}</tr>")
    return f'<div class="scroll"><table><tr><th></th>{head}</tr>{"".join(rows)}</table></div>'


def section(result, names):
    """One workload: plots, figures, caveats, settings."""
    cells = {
        name: cell for name, cell in summary.summarise(result).items() if not tables.remark(cell)
    }
    plots = idle_plots(cells, names) if result["how"] == IDLE else load_plots(result, cells, names)
    doubts = "".join(f'<li class="bad">{escape(doubt)}</li>' for doubt in summary.doubts(result))
    settings = "".join(
        f"<h4>{escape(name)}</h4><pre>{escape(measured['settings'])}</pre>"
        for name, measured in result["proxies"].items() if "settings" in measured
    )
    return (
        f'<h2 id="{result["name"]}">{escape(result["title"])} <span class="dim">{result["name"]}</span></h2>'
        f'<div class="plots">{plots}</div>{table(result)}<ul>{doubts}</ul>'
        f"<details><summary>settings</summary>{settings}</details>"
    )


READING = """
<p>CPU per request is user and system time of a proxy, all its processes and threads, divided by the
requests answered in the same time; on loopback that includes much of the kernel's work for both
sides. Ratios are taken round by round and their median is shown, with the least and the most: rounds
of the proxies alternate, so that what disturbs the machine disturbs all. The dashed lines are nginx
and the null relay, which moves the bytes and understands nothing. A † marks requests/s of a proxy
that did not fill its core, since load, origin or other work was the limit: no maximum. Latency is
that of a closed loop at full load: it compares how evenly proxies treat connections, and says
nothing about one that is not overloaded. Memory is that of
the process halfway through a round; what the kernel holds for its sockets is not in it.</p>
"""


def facts(run):
    """The information needed to judge and repeat the run."""
    rows = [
        ("date", run["date"]), ("revision", run["revision"]), ("command", run["command"]),
        ("machine", f"{run['cpu']}, {run['cores']} cores, {run['memory']}, {run['hypervisor']}"),
        ("kernel", run["kernel"]), ("cores", run["placement"]),
        ("rounds", f"{run['rounds']} of {run['seconds']} s each, interleaved"),
        *run["versions"].items(),
    ]
    notes = "".join(f'<li class="bad">{escape(note)}</li>' for note in run["notes"])
    pairs = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in rows)
    return f"<ul>{notes}</ul><dl>{pairs}</dl>"


def page(run):
    """The whole file."""
    names = tables.names_of(run["workloads"])
    sections = "".join(section(result, names) for result in run["workloads"])
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Evener: benchmark of {escape(run['date'])}</title><style>{STYLE}</style>"
        f"<h1>Evener: benchmark</h1>{facts(run)}{READING}{sections}</html>\n"
    )
