"""The whole conversion: what stands at the top, servers, locations, relays."""

import os
import re

import location
import upstreams
import values
from location import Scope
from server import Server, TLS_CLIENTS
from stream import Stream
from report import Report
from values import Untranslatable, flow

# What Evener needs no word for, or does by itself.
NOTHING = {
    "accept_mutex", "charset", "client_body_buffer_size", "client_header_buffer_size", "default_type",
    "events", "gzip_vary", "http2", "http2_max_concurrent_streams", "http2_push", "ignore_invalid_headers", "include",
    "map_hash_bucket_size", "multi_accept", "pcre_jit", "proxy_buffer_size", "proxy_buffering",
    "proxy_buffers", "proxy_busy_buffers_size", "proxy_cache_bypass", "proxy_headers_hash_bucket_size", "proxy_headers_hash_max_size",
    "proxy_http_version", "proxy_request_buffering", "proxy_socket_keepalive", "proxy_ssl_protocols",
    "proxy_ssl_server_name", "proxy_ssl_session_reuse", "reset_timedout_connection", "sendfile", "server_names_hash_bucket_size",
    "server_tokens", "ssl_buffer_size", "ssl_dhparam", "ssl_ecdh_curve", "ssl_prefer_server_ciphers", "ssl_session_cache",
    "ssl_session_tickets", "ssl_session_timeout", "tcp_nodelay", "tcp_nopush", "types", "types_hash_max_size", "underscores_in_headers",
    "use", "variables_hash_bucket_size", "worker_connections", "worker_rlimit_nofile", "server_name_in_redirect",
    "merge_slashes", "absolute_redirect", "port_in_redirect", "limit_req_status", "limit_req_log_level", "keepalive_requests",
    "log_not_found", "lingering_close",
}
LEVELS = {"debug": "debug", "info": "info", "notice": "info", "warn": "warn", "error": "error", "crit": "error",
          "alert": "error", "emerg": "error"}
SCHEMES = {"http": "", "https": "https://", "grpc": "h2c://", "grpcs": "h2://"}
# What says nothing with these words.
USUAL = {
    "proxy_redirect": ["off", "default"], "proxy_pass_request_headers": ["on"], "proxy_intercept_errors": ["off"],
    "proxy_pass_request_body": ["on"], "proxy_ssl": ["off"],
}
SCOPED = location.AS_A_WHOLE | location.ONE
# Addresses at which everybody is let in: which of them a server has makes no difference to who reaches it.
PUBLIC = {"0.0.0.0:80", "[::]:80", "0.0.0.0:443", "[::]:443"}


class Conversion:
    def __init__(self, parsed, main):
        self.report = Report(main)
        self.top = {}
        self.certificates, self.routes, self.relays = [], [], []
        self.upstreams, self.used, self.zones = {}, {}, {}
        self.plain, self.tls = [], []
        self.guards, self.seen, self.tls_clients = set(), set(), {}
        self.trusts, self.names_clients = [], False
        self.read_all(parsed, self.main_statement)
        self.real_clients()
        if not self.routes and not self.relays:
            self.report.untranslated({"line": 1}, "there is nothing to serve here: evener -t refuses a file without routes")

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
        elif name == "stream":
            Stream(self).read(statement["block"])
        elif name == "worker_processes" and args != ["auto"]:
            self.top["threads"] = args[0]
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
        self.read_all(block, lambda statement: self.http_statement(statement, scope, servers))
        self.top.setdefault("max_body", values.size(scope.arg("client_max_body_size") or "1m"))
        default = next((server for server in servers if server.is_default), servers[0] if servers else None)
        served = self.reached_alike(servers, default)
        self.client_certificates(served)
        self.redirects(served)
        for server in served:
            self.server(server, server is default)

    def reached_alike(self, servers, default):
        """The servers that listen where the default one does: routes of Evener are for all of its listeners, so that those
        of a server at another address would be published at these."""
        def others(server):
            return {address for address, _, _ in server.listens if address not in PUBLIC}

        def is_public(server):
            return any(address in PUBLIC for address, _, _ in server.listens)

        served = []
        for server in servers:
            if others(server) == others(default) and is_public(server) == is_public(default):
                served.append(server)
            else:
                at = ", ".join(address for address, _, _ in server.listens)
                self.report.untranslated(
                    server.block, f"a server at {at}: routes of Evener are for all of its listeners: left out, give it a process of its own")
        return served

    def client_certificates(self, servers):
        """One client_auth for all TLS listeners: the strictest."""
        tls = [server for server in servers if any(is_tls for _, is_tls, _ in server.listens)]
        said = [{**self.tls_clients, **server.tls_clients} for server in tls]
        asked = [each for each in said if each.get("ssl_verify_client", "off") != "off"]
        if not asked:
            return
        strictest = min(asked, key=lambda each: each["ssl_verify_client"] != "on")
        self.top["client_auth"] = "required" if strictest["ssl_verify_client"] == "on" else "optional"
        ca = strictest.get("ssl_client_certificate")
        if ca:
            self.top["client_ca"] = ca
        for server, each in zip(tls, said):
            is_asked = each.get("ssl_verify_client", "off") != "off"
            if each.get("ssl_verify_client", "off") != strictest["ssl_verify_client"]:
                self.report.untranslated(server.block, f"ssl_verify_client: all TLS listeners have client_auth: {self.top['client_auth']} now")
            if is_asked and each.get("ssl_client_certificate") != ca:
                self.report.untranslated(server.block, "ssl_client_certificate: all TLS listeners have one client_ca: this server is closed with 403")
                server.guards.add("ssl_client_certificate")

    def redirects(self, servers):
        """redirect_https is for all plain listeners."""
        if not any(server.is_redirect_to_https for server in servers):
            return
        self.top["redirect_https"] = True
        for server in servers:
            is_plain = any(not is_tls for _, is_tls, _ in server.listens)
            if is_plain and not server.is_redirect_to_https:
                self.report.untranslated(server.block, "another server redirects to https: redirect_https is for all plain listeners, this one's too")

    def real_clients(self):
        """Whose word is taken for the address of a client."""
        if self.trusts and not self.names_clients:
            for statement in self.trusts:
                self.report.untranslated(
                    statement, "set_real_ip_from with X-Real-IP, which is read without real_ip_header: Evener reads X-Forwarded-For, or the PROXY header")
            self.top.pop("trusted", None)

    def http_statement(self, statement, scope, servers):
        name, args = statement["directive"], statement["args"]
        if name == "server":
            servers.append(Server(statement, scope, self))
        elif name == "limit_req_zone":
            self.zone(args)
        elif name in ("upstream", "map", "geo", "split_clients", "log_format"):
            if name != "upstream" and not (name == "map" and args[:1] == ["$http_upgrade"]) and name != "log_format":
                raise Untranslatable(f"{name} {args[0]}: Evener computes no variables")
            if name == "log_format":
                self.report.note(statement, "log_format: Evener's access log is combined with more fields, or json")
        elif not self.setting(statement):
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

    def setting(self, statement):
        """What holds for the whole process in Evener."""
        name, args = statement["directive"], statement["args"]
        keys = {"client_header_timeout": "header_timeout", "client_body_timeout": "idle_timeout",
                "send_timeout": "idle_timeout", "keepalive_timeout": "keepalive_timeout", "ssl_handshake_timeout": "handshake_timeout"}
        if name in keys:
            if args[0] in ("0", "0s"):
                raise Untranslatable(f"{name} 0: connections are kept in Evener")
            self.once(keys[name], values.time(args[0]), name)
        elif name == "large_client_header_buffers":
            size = int(values.size(args[1]).rstrip("k")) * (1024 if args[1][-1:] in "kK" else 1) * int(args[0])
            self.once("max_head", f"{min(max(size // 1024, 1), 64)}k", name)
        elif name == "resolver":
            self.top["resolver"] = [word for word in args if "=" not in word]
        elif name == "set_real_ip_from":
            self.top.setdefault("trusted", []).append("unix" if args[0] == "unix:" else args[0])
            self.trusts.append(statement)
        elif name == "real_ip_header":
            self.names_clients |= args[0].lower() in ("x-forwarded-for", "proxy_protocol")
            if not self.names_clients:
                raise Untranslatable(f"real_ip_header {args[0]}: X-Forwarded-For or the PROXY header names clients")
        elif name == "real_ip_recursive":
            pass
        elif name == "access_log":
            if args[0] != "off":
                if "$" in args[0]:
                    raise Untranslatable(f"access_log {args[0]}: Evener has one log, whose name is fixed")
                self.once("access_log", args[0], name)
                if any("json" in word for word in args[1:]):
                    self.top["access_log_format"] = "json"
        elif name == "error_log":
            self.error_log(args)
        elif name in TLS_CLIENTS:
            self.tls_clients[name] = args[0]
        elif name in ("ssl_certificate", "ssl_certificate_key", "ssl_trusted_certificate"):
            self.certificate(name, args[0], statement)
        elif name == "ssl_protocols":
            self.top["tls_min_version"] = "1.3" if args == ["TLSv1.3"] else "1.2"
            if "TLSv1" in args or "TLSv1.1" in args:
                self.report.note(statement, "TLS before 1.2 is not spoken")
        elif name == "ssl_ciphers":
            self.report.note(statement, "ssl_ciphers: the cipher suites of Evener are fixed: those of TLS 1.3 and of TLS 1.2 with forward secrecy")
        else:
            return False
        return True

    def once(self, key, value, name):
        """What Evener has once for the process, whatever servers say."""
        if self.top.setdefault(key, value) != value:
            raise Untranslatable(f"{name} is one for all servers: {key}: {self.top[key]} was written first")

    def certificate(self, name, path, statement):
        if name == "ssl_certificate":
            if path not in [entry["cert"] for entry in self.certificates]:
                self.certificates.append({"cert": path})
        elif name == "ssl_certificate_key":
            known = [entry for entry in self.certificates if "key" not in entry]
            if known:
                known[-1]["key"] = path
        else:
            raise Untranslatable(f"{name} has no equivalent")

    def scoped(self, statement, scope):
        name = statement["directive"]
        if name in SCOPED:
            scope.add(statement)
        elif name not in NOTHING and statement["args"] not in ([word] for word in USUAL.get(name, [])):
            raise Untranslatable(f"{name} has no equivalent")

    def server(self, server, is_default):
        for address, is_tls, statement in server.listens:
            known = self.tls if is_tls else self.plain
            if address not in known:
                known.append(address)
        if server.is_redirect_to_https:
            return
        hosts = [] if is_default else self.named(server)
        if not hosts and not is_default:
            self.report.untranslated(server.block, "a server that is not the default needs a name that is its own: left out")
            return
        covers_all = False
        for entry in server.entries:
            try:
                route = self.route(entry, server, hosts)
            except Untranslatable as what:
                self.report.untranslated(entry.statement, str(what))
                route = self.closed(entry, hosts)
            if route and self.is_new(route, entry, hosts):
                covers_all |= route.get("prefix") == "/"
                self.routes.append(route)
        if hosts and not covers_all:
            self.routes.append({**self.condition(hosts, "", "/"), "respond": {"status": "404"}})

    def named(self, server):
        """Its names, but for those of servers before it: nginx ignores these too."""
        names = [name for name in dict.fromkeys(server.names) if name not in self.seen]
        for name in server.names:
            if name in self.seen:
                self.report.untranslated(server.block, f"server_name {name}: a server before has it")
        self.seen.update(names)
        return names

    def is_new(self, route, entry, hosts):
        condition = (tuple(hosts), "path" in route, route.get("path") or route.get("prefix"))
        is_new = condition not in self.seen
        self.seen.add(condition)
        if not is_new:
            self.report.untranslated(entry.statement, f"location {entry.path}: another takes the same requests: left out")
        return is_new

    def condition(self, hosts, kind, path):
        if "*" in path:
            raise Untranslatable(f"location {path}: a prefix with a * has another meaning in Evener")
        entry, path = {}, values.path(path)
        if hosts:
            entry["host"] = hosts[0] if len(hosts) == 1 else hosts
        if kind == "=":
            entry["path"] = path
        else:
            entry["prefix"] = path if path.endswith("/") else path + "*"
        return entry

    def route(self, entry, server, hosts):
        scope = entry.scope
        if entry.kind in ("~", "~*"):
            raise Untranslatable(f"location {entry.kind} {entry.path}: there are no regular expressions: its requests go to the other locations now")
        route = self.condition(hosts, entry.kind, entry.path)
        if entry.guards or server.guards:
            return self.closed(entry, hosts)
        if entry.is_internal:
            return None if self.is_error_page(entry, server) else {**route, "respond": {"status": "404"}}
        returned, passed = scope.all("return"), scope.all("proxy_pass") + scope.all("grpc_pass")
        if returned:
            route.update(location.outcome(returned[-1], server.names))
        elif passed:
            self.passes(route, entry, passed[-1])
        else:
            return None if self.is_error_page(entry, server) else {**route, "respond": {"status": "404"}}
        changed = location.response_headers(scope, self.report)
        if changed:
            route["response_headers"] = changed
        route.update(location.access(scope))
        route.update(location.rate_limit(scope, self.zones, self.report))
        body = scope.arg("client_max_body_size")
        if body and values.size(body) != self.top.get("max_body"):
            route["max_body"] = values.size(body)
        if server.is_unlogged if entry.is_unlogged is None else entry.is_unlogged:
            route["access_log"] = "off"
        pages = self.error_pages(scope, server)
        if pages:
            route["error_pages"] = pages
        return route

    def closed(self, entry, hosts):
        """A route that lets nobody through, where the location might have let only some."""
        if entry.kind in ("~", "~*"):
            return None
        self.report.untranslated(entry.statement, f"location {entry.path}: closed with 403 until you have decided")
        kind, path = entry.kind, entry.path
        if "*" in path:
            kind, path = "", path.partition("*")[0]
        return {**self.condition(hosts, kind, path), "respond": {"status": "403"}}

    def passes(self, route, entry, statement):
        scheme, name, uri = upstreams.split_pass(statement["args"][0])
        scope = entry.scope
        changed, host = location.request_headers(scope, self.report)
        if host is None and not name.startswith("unix:") and scheme in ("http", "https"):
            if name in self.upstreams:
                self.report.note(statement, f"nginx sends Host: {name}, the name of the upstream; Evener the client's. Write host_header for another")
            else:
                route["host_header"] = name
        elif host:
            route["host_header"] = host
        route["upstream"] = self.use(scheme, name, scope, statement)
        route.update(location.target(entry.kind, entry.path, uri))
        if "strip_prefix" in route or ("replace_prefix" in route and entry.kind != "="):
            if not entry.path.endswith("/") and "prefix" in route:
                route["prefix"] = values.path(entry.path)
                self.report.note(statement, f"location {entry.path} with a URI takes whole segments in Evener: {entry.path} and {entry.path}/…")
        if changed:
            route["request_headers"] = changed
        is_tunnel = any(said["args"][0].lower() == "upgrade" for said in scope.all("proxy_set_header"))
        route.update(location.times(scope, is_tunnel))
        route.update(location.retries(scope, self.report.untranslated))

    def use(self, scheme, name, scope, statement):
        """The name of the upstream for these connections, which is made if it is new."""
        keys = {}
        connect = scope.arg("proxy_connect_timeout") or scope.arg("grpc_connect_timeout")
        if scheme in ("https", "grpcs"):
            if scope.arg("proxy_ssl_verify") != "on":
                self.report.note(statement, f"nginx does not verify the certificate of {name}; Evener does: write verify: false if it has to be so")
            for said, key in [("proxy_ssl_name", "sni"), ("proxy_ssl_trusted_certificate", "ca"),
                              ("proxy_ssl_certificate", "client_cert"), ("proxy_ssl_certificate_key", "client_key")]:
                if scope.arg(said):
                    keys[key] = scope.arg(said)
        known = self.upstreams.get(name)
        port = 443 if scheme in ("https", "grpcs") else 80
        if known:
            entry = {"endpoints": known.endpoints(SCHEMES[scheme], port), **known.keys, **keys}
        else:
            entry = {"endpoints": [SCHEMES[scheme] + values.address(name, port)], **keys}
        if not entry["endpoints"]:
            raise Untranslatable(f"upstream {name} has no servers that are used")
        for given, written in self.used.items():
            alike = {key: value for key, value in written.items() if key != "connect_timeout"} == entry
            if alike and given.split("-")[0] == self.plain_name(name):
                return self.connects(given, connect, statement)
        base = self.plain_name(name)
        given = next(one for one in [base] + [f"{base}-{at}" for at in range(2, 999)] if one not in self.used)
        self.used[given] = entry
        return self.connects(given, connect, statement)

    def connects(self, given, connect, statement):
        """An upstream has one time to connect, whatever its locations say."""
        if connect:
            time = values.time(connect)
            if self.used[given].setdefault("connect_timeout", time) != time:
                self.report.note(statement, f"an upstream has one connect_timeout: that of {given} was written first")
        return given

    def plain_name(self, name):
        return re.sub(r"[^A-Za-z0-9_.]", "_", name.replace("unix:", ""))

    def is_error_page(self, entry, server):
        return any(statement["args"][-1] == entry.path for statement in server.scope.all("error_page"))

    def error_pages(self, scope, server):
        pages = {}
        for statement in scope.all("error_page"):
            codes, uri = statement["args"][:-1], statement["args"][-1]
            if not uri.startswith("/") or any(code.startswith("=") for code in codes):
                self.report.untranslated(statement, "error_page: only files of a root can be translated")
                continue
            root = next((entry.scope.arg("root") for entry in server.entries if entry.path == uri), None)
            root = root or scope.arg("root")
            extension = os.path.splitext(uri)[1]
            if root is None or extension not in (".html", ".htm", ".txt", ".json", ".xml", ".svg"):
                self.report.untranslated(statement, f"error_page {uri}: its file is not known")
                continue
            pages.update({code: root.rstrip("/") + uri for code in codes})
        return pages

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
