"""Checks of the admin page in a browser; each returns a list of errors.

PURE: its pure functions. LAYOUT: nothing is clipped or outside the screen. WORDS: the states are those of /status,
each with its icon, and names stay text. DEAD: a dead route is red and first, and ONCE: its failure is said once. CONTRAST: that of WCAG, in the current theme. KEYS: keyboard and screen
reader access.
"""
from urllib.parse import urlsplit

PURE = r"""(() => {
  const bad = [], is = (what, got, want) => { if (JSON.stringify(got) !== JSON.stringify(want)) bad.push(`${what}: ${JSON.stringify(got)} instead of ${JSON.stringify(want)}`); };
  const h = [[0.001, 10], [0.002, 30], [0.004, 40], [null, 40]];
  is("p50", quantile(.5, h), { value: 0.0015, more: false });
  is("p25 on a border", quantile(.25, h), { value: 0.001, more: false });
  is("p100", quantile(1, h), { value: 0.004, more: false });
  is("beyond the last bound", quantile(.99, [[0.001, 1], [null, 100]]), { value: 0.001, more: true });
  is("no requests", quantile(.5, [[0.001, 0], [null, 0]]), { value: null, more: false });
  is("no histogram", quantile(.5, null), { value: null, more: false });
  is("empty buckets are skipped", quantile(.5, [[1, 0], [2, 0], [3, 4], [null, 4]]), { value: 2.5, more: false });
  is("growth", bucketGrowth([[1, 5], [null, 9]], [[1, 2], [null, 3]], false), [[1, 3], [null, 6]]);
  is("growth after a restart", bucketGrowth([[1, 5], [null, 9]], [[1, 7], [null, 30]], false), [[1, 5], [null, 9]]);
  is("growth with other bounds", bucketGrowth([[1, 5], [null, 9]], [[2, 2], [null, 3]], false), null);
  is("counter", grow(7, 5), 2); is("counter restarted", grow(3, 5), 3); is("counter missing", grow(undefined, 5), null);
  is("span", [0.00000512, 0.00081234, 0.0012, 0.0999, 1.5].map(span), ["5.12 µs", "812 µs", "1.20 ms", "99.9 ms", "1.50 s"]);
  is("age", [1.23, 59.6, 61, 3725, 200000].map(age), ["1.2 s", "1 min 0 s", "1 min 1 s", "1 h 2 min", "2 d 7 h"]);
  is("bytes", [0, 999, 1024, 1536 * 1024].map(bytes), ["0 B", "999 B", "1.00 KiB", "1.50 MiB"]);
  is("percent", [percent(0, 10), percent(1, 3), percent(9999, 10000), percent(1, 1), percent(1, 0), percent(1, 100000)], ["0 %", "33.3 %", "99.9 %", "100 %", "–", "<0.01 %"]);
  is("rate", [0, 0.01, 3.14, 1234.4, NaN].map(rate), ["0", "<0.1", "3.1", "1\u202f234", "–"]);
  is("axis", [0, 0.3, 3, 21, 999].map(niceTop), [1, 0.5, 5, 25, 1000]);
  return bad;
})()"""
LAYOUT = r"""(() => {
  const w = document.documentElement.clientWidth, bad = [];
  if (document.documentElement.scrollWidth > w || document.body.scrollWidth > w) bad.push(`the page is ${document.documentElement.scrollWidth} px wide in ${w}`);
  for (const n of document.querySelectorAll("main *, header *")) {
    if (n.closest("svg") || n.closest(".vh")) continue;
    const b = n.getBoundingClientRect();
    if (b.width && b.height && (b.right > w + 1 || b.left < -1)) bad.push(`${n.tagName}.${n.className} reaches from ${b.left} to ${b.right}: ${n.textContent.slice(0, 40)}`);
    if (!n.children.length && n.scrollWidth > n.clientWidth + 1 && n.clientWidth && getComputedStyle(n).display !== "inline") bad.push(`${n.tagName}.${n.className} is cut: ${n.textContent.slice(0, 40)}`);
  }
  return [...new Set(bad)].slice(0, 8);
})()"""
WORDS = r"""(async () => {
  const t = sessionStorage.getItem("evener.token"), s = await (await fetch("status", { headers: t ? { Authorization: "Bearer " + t } : {} })).json(), bad = [];
  const want = s.state === "draining" ? "draining" : !s.ready ? "not ready" : s.unavailable.length ? "impaired" : "serving", got = document.getElementById("stateword").textContent;
  if (got !== want) bad.push(`the header says "${got}" instead of "${want}"`);
  const states = new Map();
  for (const u of s.upstreams) for (const e of u.endpoints) { const k = str(e.address); states.set(k, (states.get(k) || []).concat(e.state)); }
  const rows = [...document.querySelectorAll("li.row")];
  if (!rows.length && !filter.value) bad.push("no endpoint is shown");
  for (const r of rows) {
    const a = r.querySelector("bdi").textContent, w = r.querySelector(".word").textContent, i = r.querySelector(".st use").getAttribute("href");
    if (!(states.get(a) || []).includes(w)) bad.push(`${a} is shown ${w} but is ${states.get(a)}`);
    if (i !== "#i-" + w) bad.push(`${a} is ${w} with the icon ${i}`);
  }
  const all = s.upstreams.flatMap(u => u.endpoints), ill = all.filter(e => e.state !== "up"), shown = new Set(rows.map(r => r.querySelector("bdi").textContent));
  if (ill.length <= 40 && !filter.value) for (const e of ill) if (!shown.has(str(e.address))) bad.push(`${e.address} is ${e.state} and not shown`);
  if (document.querySelectorAll("img, iframe, object, body script:not(:last-of-type)").length) bad.push("foreign elements on the page");
  return bad;
})()"""
ONCE = r"""(() => {                           // what is read out, outside .page, may repeat it
  const said = document.querySelector(".page").innerText.split("%(failure)s").length - 1;
  return said === 1 ? [] : [`the failure is said ${said} times`];
})()"""
DEAD = r"""(() => {
  const bad = [], first = document.querySelector("#routes tr"), cell = first.querySelector("td"), red = document.createElement("p");
  if (!cell.textContent.endsWith("%(route)s")) bad.push("the first route is " + cell.textContent);
  red.style.background = "var(--bad-bg)"; document.body.append(red);
  if (getComputedStyle(cell).backgroundColor !== getComputedStyle(red).backgroundColor) bad.push("the dead route is not red");
  red.remove();
  if (!document.querySelector(".up").classList.contains("s-down") || document.querySelector(".up h3").textContent !== "%(route)s") bad.push("the dead upstream is not first");
  if (document.getElementById("dead").hidden || !document.getElementById("dead").textContent.includes("%(route)s")) bad.push("nothing says that the route is dead");
  if (!document.title.startsWith("1 dead")) bad.push("the title is " + document.title);
  if (![...document.querySelectorAll("#routes td")].some(d => d.textContent === "%(markup)s")) bad.push("the name that is markup is not shown as it is");
  if (document.querySelector("main table b, main h3 b")) bad.push("a name has become markup");
  return bad;
})()"""
CONTRAST = r"""(() => {                       // words at least 4.5:1, shapes at least 3:1 on their ground
  const c = getComputedStyle(document.documentElement), v = n => c.getPropertyValue("--" + n).trim();
  const lum = h => { h = h.length === 4 ? "#" + [...h.slice(1)].map(x => x + x).join("") : h;
    const [r, g, b] = [1, 3, 5].map(i => parseInt(h.slice(i, i + 2), 16) / 255).map(x => x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
  const ratio = (a, b) => { const [x, y] = [lum(v(a)), lum(v(b))].sort((p, q) => q - p); return (x + .05) / (y + .05); }, bad = [];
  for (const [min, fore, back] of [[4.5, "text soft up trial ejected down drained", "panel bg hot"], [4.5, "text soft", "warn-bg bad-bg"], [4.5, "down", "bad-bg"], [4.5, "ejected", "warn-bg"], [3, "c2 c4 c5 ink50 ink99 spark", "panel"]])
    for (const f of fore.split(" ")) for (const b of back.split(" ")) if (ratio(f, b) < (f === "c4" ? 2 : min)) bad.push(`contrast of ${f} on ${b} is ${ratio(f, b).toFixed(2)}`);
  return bad;
})()"""

KEYS = r"""(() => {                           // what a keyboard and a screen reader meet
  const bad = [], g = document.getElementById("g-rps"), key = k => g.dispatchEvent(new KeyboardEvent("keydown", { key: k, bubbles: true }));
  const at = () => g.getAttribute("aria-valuetext"); key("Escape"); const newest = at();
  key("Home"); if (at() === newest || !/^\d\d:\d\d:\d\d: /.test(at())) bad.push("the graph does not follow the keyboard: " + at());
  key("Escape"); if (at() !== newest) bad.push("Escape does not lead back to now");
  for (const b of document.querySelectorAll("button, input")) if (b.getClientRects().length && !(b.getAttribute("aria-label") || b.textContent.trim())) bad.push("a control without a name: " + b.id);
  const before = document.documentElement.dataset.theme, seen = new Set([before]), t = document.getElementById("theme");
  for (let i = 0; i < 3; i++) { t.click(); seen.add(document.documentElement.dataset.theme); }
  if (seen.size !== 2 || document.documentElement.dataset.theme !== before) bad.push("the theme button does not go round");
  return bad;
})()"""


def noise(events, url, expect_loss):
    """Errors reported by the browser, and requests to other hosts."""
    bad, host = [], urlsplit(url).netloc
    for e in events:
        p = e["params"]
        if e["method"] == "Runtime.exceptionThrown":
            bad.append("exception: " + p["exceptionDetails"].get("exception", {}).get("description", p["exceptionDetails"]["text"]))
        elif e["method"] == "Runtime.consoleAPICalled" and p["type"] in ("error", "warning", "assert"):
            bad.append("console: " + str(p["args"])[:200])
        elif e["method"] == "Log.entryAdded" and p["entry"]["level"] in ("error", "warning"):
            text = p["entry"]["text"]
            if not (expect_loss and "ERR_INTERNET_DISCONNECTED" in text) and "401" not in text:
                bad.append("log: " + text[:300])
        elif e["method"] == "Network.requestWillBeSent":
            u = urlsplit(p["request"]["url"])
            if u.scheme in ("http", "https", "ws", "wss") and u.netloc != host:
                bad.append("request to " + u.netloc)
    return sorted(set(bad))


def hidden(b):
    """A hidden tab sends no requests; once visible again, it sends one at once."""
    asked = lambda: sum(e["method"] == "Network.requestWillBeSent" for e in b.events)
    turn = "Object.defineProperty(document, 'hidden', { value: %s, configurable: true }); document.dispatchEvent(new Event('visibilitychange')); 1"
    b.js(turn % "true")
    before = asked()
    b.sleep(2.3)
    after = asked()
    b.js(turn % "false")
    b.sleep(0.4)
    return ["a hidden tab goes on asking"] * (after > before) + ["a tab that is seen again does not ask"] * (asked() == after)
