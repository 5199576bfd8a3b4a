"""The whole conversion: what stands at the top, servers, locations, relays."""

import re

import listeners
import location
import upstreams
import values
from location import Scope
from report import Report
from routes import Routes
from server import Server
from settings import Merge, Settings
from stream import Relays
from values import Untranslatable, flow

# What Evener needs no word for, or does by itself.
NOTHING = {
    "accept_mutex", "charset", "client_body_buffer_size", "client_header_buffer_size",
    "events", "gzip_vary", "http2", "http2_push", "ignore_invalid_headers", "include", "map_hash_bucket_size", "multi_accept",
    "pcre_jit", "proxy_buffer_size", "proxy_buffering", "proxy_buffers", "proxy_busy_buffers_size", "proxy_cache_bypass",
    "proxy_headers_hash_bucket_size", "proxy_headers_hash_max_size", "proxy_request_buffering", "proxy_socket_keepalive", "proxy_ssl_protocols",
    "proxy_ssl_server_name", "proxy_ssl_session_reuse", "reset_timedout_connection", "sendfile", "server_names_hash_bucket_size",
    "server_tokens", "ssl_buffer_size", "ssl_dhparam", "ssl_ecdh_curve", "ssl_prefer_server_ciphers", "ssl_session_cache",
    "ssl_session_tickets", "ssl_session_timeout", "tcp_nodelay", "tcp_nopush", "types", "types_hash_max_size", "underscores_in_headers",
    "use", "variables_hash_bucket_size", "worker_connections", "worker_rlimit_nofile", "server_name_in_redirect",
    "merge_slashes", "absolute_redirect", "port_in_redirect", "limit_req_status", "limit_req_log_level", "keepalive_requests",
    "log_not_found", "real_ip_recursive", "lingering_close",
}
LEVELS = {"debug": "debug", "info": "info", "notice": "info", "warn": "warn", "error": "error", "crit": "error",
          "alert": "error", "emerg": "error"}
SCOPED = location.AS_A_WHOLE | location.ONE


class Conversion:
    def __init__(self, parsed, main):
        self.report = Report(main)
        self.top = {}
        self.certificates, self.routes, self.relays = [], [], []
        self.upstreams, self.used, self.zones = {}, {}, {}
        self.plain, self.tls = [], []
        self.guards, self.settings = set(), Settings()
        self.read_all([one for one in parsed if one["directive"] != "stream"], self.main_statement)
        self.read_all([one for one in parsed if one["directive"] == "stream"], lambda one: self.stream(one["block"]))
        led = {route.get("upstream") for route in self.routes + self.relays}
        led.update(name for relay in self.relays for name in relay.get("sni", {}).values())
        self.used = {name: keys for name, keys in self.used.items() if name in led}
        if not self.routes:
            self.plain, self.tls = [], []
            for key in ("redirect_https", "client_ca", "client_auth", "max_body"):
                self.top.pop(key, None)
        if not self.routes and not self.relays:
            self.report.missing.append((main, "nothing is left to serve: there are no routes and no relays, and evener -t will say so"))

    def read_all(self, statements, read):
        for statement in statements:
            try:
                read(statement)
            except Untranslatable as what:
                self.report.untranslated(statement, str(what))

    def main_statement(self, statement):
        name, args = statement["directive"], statement["args"]
        if name == "http":
            self.http(statement["block"])
        elif name == "worker_processes" and args != ["auto"]:
            self.top["threads"] = values.number(args[0], 1, 1024, name)
        elif name == "user":
            self.top["user"] = args[0]
            if len(args) > 1:
                self.top["group"] = args[1]
        elif name == "pid":
            self.top["pid_file"] = args[0]
        elif name == "error_log":
            self.error_log(args)
        elif name not in NOTHING and name != "worker_processes":
            raise Untranslatable(f"{name} has no equivalent")

    def error_log(self, args):
        if args[0] not in ("stderr", "off") and not args[0].startswith("syslog:"):
            self.top["error_log"] = args[0]
        if len(args) > 1:
            self.top["log_level"] = LEVELS.get(args[1], "info")

    # http

    def http(self, block):
        for statement in block:
            if statement["directive"] == "upstream":
                self.upstreams[statement["args"][0]] = upstreams.Upstream(statement, self.report)
        scope, servers = Scope(), []
        self.top["max_body"] = "1m"
        # What holds for all servers may be written after them.
        self.read_all([one for one in block if one["directive"] != "server"], lambda one: self.http_statement(one, scope))
        self.read_all(scope.all("client_max_body_size")[-1:], self.body)
        for statement in block:
            if statement["directive"] == "server":
                servers.append(Server(statement, scope, self))
        self.servers(servers)

    def body(self, statement):
        self.top["max_body"] = values.size(statement["args"][0])

    def servers(self, servers):
        """Those whose routes are only where nginx has them."""
        chosen = listeners.Listeners(servers, self.report)
        chosen.tell()
        kept = listeners.names(chosen, self.report)
        Merge(kept, self.top, self.report).all()
        self.plain, self.tls = chosen.addresses(self.top)
        if self.tls:
            encrypted = [server for server in kept if any(is_tls for _, is_tls, _, _ in server.listens)]
            listeners.client_certificates(encrypted, self.top, self.report)
            listeners.oldest_tls(encrypted, self.top, self.report)
            self.certificates = listeners.certificates(encrypted, self.report)
            if not self.certificates and encrypted:
                self.report.untranslated(encrypted[0].block, f"listen {', '.join(self.tls)}: left out: no ssl_certificate is there")
                self.tls = []
        self.redirects(chosen)
        if not (self.plain if chosen.has_plain else self.tls):
            return
        routes = Routes(self)
        wildcards = [host[1:] for server in kept + chosen.left if server is not chosen.default for host in server.hosts if host.startswith("*.")]
        for server in kept:
            routes.server(server, server is chosen.default, wildcards)
        if self.routes:
            for server in chosen.left:
                routes.left(server)

    def redirects(self, chosen):
        """Plain listeners that do nothing but redirect to https."""
        if chosen.has_plain or not self.plain:
            return
        if not self.tls:
            self.plain = []
            return
        self.top["redirect_https"] = True
        for server in chosen.redirecting:
            if server in chosen.kept:
                continue
            if server.redirect["args"][0] != "308":
                self.report.note(server.redirect, "redirect_https answers 308, which keeps the method")
            for entry in server.entries:
                if entry.path != "/" and entry.kind not in ("~", "~*"):
                    self.report.untranslated(entry.statement, f"location {entry.path}: redirect_https redirects it as well")

    def http_statement(self, statement, scope):
        name, args = statement["directive"], statement["args"]
        if name == "limit_req_zone":
            self.zone(args)
        elif name in ("upstream", "map", "geo", "split_clients", "log_format"):
            if name != "upstream" and not (name == "map" and args[:1] == ["$http_upgrade"]) and name != "log_format":
                raise Untranslatable(f"{name} {args[0]}: Evener computes no variables")
            if name == "log_format":
                self.report.note(statement, "log_format: Evener's access log is combined with more fields, or json")
        elif name == "error_log":
            self.error_log(args)
        elif not self.settings.add(statement):
            self.guarded(statement, self.guards)
            self.scoped(statement, scope)

    @staticmethod
    def guarded(statement, guards):
        """Notes what keeps requests out and has no translation."""
        name = statement["directive"]
        if name in location.GUARDS - SCOPED and statement["args"][:1] != ["off"]:
            guards.add(name)

    def zone(self, args):
        words = dict(word.partition("=")[::2] for word in args[1:])
        name = words.get("zone", "").partition(":")[0]
        rate = re.fullmatch(r"(\d+)r/([sm])", words.get("rate", ""))
        if not rate:
            raise Untranslatable(f"limit_req_zone {name}: its rate")
        by = "route" if args[0] in ("$server_name", "$host") else values.hash_key(args[0])
        if not (by in ("client", "route") or by.startswith("header:")):
            raise Untranslatable(f"limit_req_zone {name}: a rate is counted by client, header or route, not by {args[0]}")
        self.zones[name] = {"rate": f"{rate[1]}/{rate[2]}", "by": by}

    def scoped(self, statement, scope):
        name = statement["directive"]
        if name in SCOPED:
            scope.add(statement)
        elif name not in NOTHING:
            raise Untranslatable(f"{name} has no equivalent")

    def plain_name(self, name):
        """The name of an upstream: at most 64 letters, digits, `_` and `.`."""
        return re.sub(r"[^A-Za-z0-9_.]", "_", name.replace("unix:", ""))[:56]

    def refuse_own(self, endpoints):
        """Evener passes nothing on to itself."""
        listens = [listen.partition(",")[0] for listen in self.plain + self.tls]
        for endpoint in endpoints:
            address = (endpoint["address"] if isinstance(endpoint, dict) else endpoint).partition("@")[0].rpartition("//")[2]
            local = address.replace("[::1]:", "127.").startswith(("127.", "localhost:", "0.0.0.0:"))
            port = address.rpartition(":")[2]
            if address in listens or local and (listeners.covered(address, listens) or f"localhost:{port}" in listens):
                raise Untranslatable(f"{address}: is where Evener listens itself")

    @staticmethod
    def is_error_page(entry, server):
        return any(statement["args"][-1] == entry.path for statement in server.scope.all("error_page"))

    # stream

    def stream(self, block):
        known = {}
        for statement in block:
            if statement["directive"] == "upstream":
                known[statement["args"][0]] = upstreams.Upstream(statement, self.report)
        Relays(self, known).read(block)

    # The text.

    def result(self):
        text = f"# From {self.report.main} by tools/from-nginx. Check it: evener -t -c FILE\nversion: 1\n"
        if self.plain:
            text += f"listen: {flow(self.plain)}\n"
        if self.tls:
            text += f"listen_tls: {flow(self.tls)}\n"
        for key, value in self.top.items():
            text += f"{key}: {flow(value)}\n" if key != "tls_min_version" else f'{key}: "{value}"\n'
        for title, entries in [("certificates", self.certificates if self.tls else []), ("routes", self.routes), ("tcp", self.relays)]:
            if title == "routes" and self.used:
                text += "upstreams:\n"
                for name, keys in self.used.items():
                    text += f"  - name: {values.quoted(name)}\n"
                    text += "".join(f"    {key}: {flow(value)}\n" for key, value in keys.items())
            if entries:
                text += f"{title}:\n" + "".join(f"  - {flow(entry)}\n" for entry in entries)
        return text + self.report.comments(), self.report.missing
