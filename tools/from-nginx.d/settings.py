"""What nginx has for each server and Evener for the whole process: one value is chosen, and what differs is listed."""

import values
from values import Untranslatable

# The words of nginx for each time of Evener, with nginx's default.
TIMES = {
    "header_timeout": (["client_header_timeout"], "60s"),
    "idle_timeout": (["client_body_timeout", "send_timeout"], "60s"),
    "keepalive_timeout": (["keepalive_timeout"], "75s"),
}
NAMES = {
    "client_header_timeout", "client_body_timeout", "send_timeout", "keepalive_timeout", "resolver", "set_real_ip_from",
    "real_ip_header", "real_ip_recursive", "access_log", "ssl_protocols", "ssl_ciphers", "ssl_certificate",
    "ssl_certificate_key", "ssl_client_certificate", "ssl_verify_client", "large_client_header_buffers",
    "http2_max_concurrent_streams",
}
HEAD_BYTES_MAX = 65536


class Settings:
    """What is said at one level, in place of what stands above."""

    def __init__(self, above=None):
        self.said = dict(above.said) if above else {}
        self.fresh = set()

    def add(self, statement):
        """Whether it is one of them."""
        name = statement["directive"]
        if name not in NAMES:
            return False
        if name not in self.fresh:
            self.said[name] = []
            self.fresh.add(name)
        self.said[name].append(statement)
        return True

    def all(self, name):
        return self.said.get(name, [])

    def last(self, name):
        said = self.all(name)
        return said[-1] if said else None

    def arg(self, name):
        return self.last(name)["args"][0] if self.last(name) else None


class Merge:
    """Settles what holds for all of these servers."""

    def __init__(self, servers, top, report):
        self.servers, self.top, self.report = servers, top, report

    def all(self):
        for key, (names, default) in TIMES.items():
            self.time(key, names, default)
        self.resolver()
        self.access_log()
        self.trusted()
        self.heads()
        for name in ("http2_max_concurrent_streams", "ssl_ciphers"):
            for statement in self.each(name):
                self.one(statement)

    def each(self, name):
        """Every statement of this name that holds for one of the servers, once."""
        found = []
        for server in self.servers:
            found += [said for said in server.settings.all(name) if said not in found]
        return found

    def one(self, statement):
        if statement["directive"] == "ssl_ciphers":
            self.report.note(statement, "ssl_ciphers: the cipher suites of Evener are fixed: those of TLS 1.3 and of TLS 1.2 with forward secrecy")
            return
        streams = statement["args"][0]
        is_within = streams.isdigit() and 1 <= int(streams) <= 65536
        if not is_within or self.top.setdefault("max_streams", streams) != streams:
            self.report.untranslated(statement, f"http2_max_concurrent_streams {streams}: Evener has one max_streams, from 1 to 65536")

    def time(self, key, names, default):
        """The longest, so that nobody is cut off who was not."""
        found = []
        for name in names:
            for server in self.servers:
                said = server.settings.last(name)
                found.append((self.read_time(said) or default if said else default, said))
        if not any(said for _, said in found):
            return
        longest = max((time for time, _ in found), key=values.seconds)
        self.top[key] = longest
        listed = []
        for time, said in found:
            if time != longest and said and said not in listed:
                listed.append(said)
                self.report.untranslated(
                    said, f"{said['directive']} {said['args'][0]}: Evener has one {key} for all servers: {longest}, the longest")
        short = any(time != longest and not said for time, said in found) and len(self.servers) * len(names) > 1
        if short and not listed and len(names) == 1:
            said = next(said for time, said in found if time == longest and said)
            self.report.untranslated(said, f"{said['directive']} {said['args'][0]}: Evener has one {key}, which holds for all servers now")

    def read_time(self, statement):
        name, text = statement["directive"], statement["args"][0]
        try:
            if text in ("0", "0s"):
                raise Untranslatable(f"{name} 0: connections are kept in Evener")
            return values.time(text)
        except Untranslatable as what:
            self.report.once(statement, str(what))
            return None

    def resolver(self):
        for statement in self.each("resolver"):
            servers = []
            for word in statement["args"]:
                host = word.rpartition(":")[0] if word.rpartition(":")[2].isdigit() and (word.count(":") == 1 or "]:" in word) else word
                bare = host.strip("[]")
                try:
                    if "=" not in word:
                        values.network(bare)
                        servers.append(bare if host == word else word)
                except Untranslatable:
                    self.report.untranslated(statement, f"resolver {word}: an address in Evener")
            if servers and self.top.setdefault("resolver", servers) != servers:
                self.report.untranslated(statement, "resolver: Evener has one for all servers: what was written first holds")

    def access_log(self):
        """One log; servers without one have their routes left out of it."""
        for server in self.servers:
            said = server.settings.all("access_log")
            server.is_unlogged = bool(said) and all(one["args"][0] == "off" for one in said)
        for statement in self.each("access_log"):
            path, words = statement["args"][0], statement["args"][1:]
            if path == "off":
                continue
            if "$" in path:
                self.report.untranslated(statement, f"access_log {path}: the path of a log holds no variables")
            elif path.startswith("syslog:"):
                self.report.untranslated(statement, f"access_log {path}: Evener writes no log to syslog")
            elif self.top.setdefault("access_log", path) != path:
                self.report.untranslated(statement, f"access_log {path}: Evener has one log: {self.top['access_log']}")
            else:
                if any(word.startswith("if=") for word in words):
                    self.report.untranslated(statement, f"access_log {path} if=…: all requests have a line; access_log: off leaves out a route")
                if any("json" in word for word in words):
                    self.top["access_log_format"] = "json"

    def trusted(self):
        """Whose word is believed of clients. Where that cannot be translated, Evener would take proxies for clients."""
        ways = []
        for server in self.servers:
            networks = [said["args"][0] for said in server.settings.all("set_real_ip_from")]
            header = (server.settings.arg("real_ip_header") or "X-Real-IP").lower()
            ways.append((networks, header))
        for server, (networks, header) in zip(self.servers, ways):
            if not networks:
                continue
            statement = server.settings.last("real_ip_header") or server.settings.last("set_real_ip_from")
            is_read = header in ("x-forwarded-for", "proxy_protocol")
            if is_read and all(way == ways[0] for way in ways):
                self.top.setdefault("trusted", self.networks(networks, server.settings.last("set_real_ip_from")))
                continue
            server.is_client_unknown = True
            what = (f"real_ip_header {header}: X-Forwarded-For or the PROXY header names clients" if not is_read else
                    "set_real_ip_from: Evener trusts the same proxies for all servers, and here they differ")
            what += ": trusted is left out, and locations with allow or deny are closed"
            self.report.once(statement, what)

    def networks(self, texts, statement):
        found = []
        for text in texts:
            try:
                found.append("unix" if text == "unix:" else values.network(text))
            except Untranslatable as what:
                self.report.untranslated(statement, f"set_real_ip_from {what}")
        return found

    def heads(self):
        for statement in self.each("large_client_header_buffers"):
            count, size = statement["args"]
            size = values.size(size)
            unit = {"k": 1024, "m": 1 << 20}.get(size[-1:], 1)
            whole = int(count) * int(size.rstrip("km") if size != "off" else 0) * unit
            head = f"{whole // 1024}k" if whole % 1024 == 0 else str(whole)
            if not 1024 <= whole <= HEAD_BYTES_MAX:
                head = "64k" if whole > HEAD_BYTES_MAX else "1k"
                self.report.untranslated(
                    statement, f"large_client_header_buffers {' '.join(statement['args'])}: max_head is from 1k to 64k: {head}")
            if self.top.setdefault("max_head", head) != head:
                self.report.untranslated(statement, f"large_client_header_buffers: Evener has one max_head: {self.top['max_head']}")
