"""Routes, and the upstreams that they lead to."""

import os

import location
import upstreams
import values
from values import Untranslatable

SCHEMES = {"http": "", "https": "https://", "grpc": "h2c://", "grpcs": "h2://"}


class Routes:
    """Writes the routes of servers into a conversion."""

    def __init__(self, conversion):
        self.conversion, self.report = conversion, conversion.report
        self.top, self.used, self.zones = conversion.top, conversion.used, conversion.zones
        self.written = {}

    def server(self, server, is_default, wildcards):
        hosts = [] if is_default else server.hosts
        # A name of the default server that a wildcard of another one has needs a route of its own.
        shadowed = [host for host in server.hosts if is_default and any(host.endswith(end) for end in wildcards)]
        covers_all = False
        for entry in server.entries:
            route = self.entry(entry, server, hosts)
            if route:
                covers_all |= route.get("prefix") == "/"
                self.add(route, entry.statement)
                if shadowed and "host" not in route:
                    self.add({"host": shadowed[0] if len(shadowed) == 1 else shadowed, **route}, entry.statement)
        if hosts and not covers_all:
            self.add({**self.condition(hosts, "", "/"), "respond": {"status": "404"}}, server.block)
        elif shadowed and not covers_all:
            self.add({**self.condition(shadowed, "", "/"), "respond": {"status": "404"}}, server.block)

    def left(self, server):
        """A server that is left out, and shares a listener with those that are not: its hosts are closed."""
        if server.hosts:
            self.add({**self.condition(server.hosts, "", "/"), "respond": {"status": "403"}}, server.block)

    def add(self, route, statement):
        hosts = route.get("host", "")
        for host in [hosts] if isinstance(hosts, str) else hosts:
            key = (host, route.get("path"), route.get("prefix"))
            if key in self.written:
                self.report.once(statement, f"a second route for {host}{route.get('path') or route.get('prefix')}: left out")
                return
        for host in [hosts] if isinstance(hosts, str) else hosts:
            self.written[(host, route.get("path"), route.get("prefix"))] = route
        self.conversion.routes.append(route)

    def entry(self, entry, server, hosts):
        try:
            route = self.route(entry, server, hosts)
        except Untranslatable as what:
            self.report.untranslated(entry.statement, str(what))
            try:
                route = self.closed(entry, hosts)
            except Untranslatable:
                return None
        if route and (route.get("respond") == {"status": "403"} or "allow" in route or "deny" in route):
            self.guard_itself(route, server)
        off = entry.scope.arg("access_log") == "off" or server.is_unlogged
        if route and off and "access_log" in self.top:
            route["access_log"] = "off"
        return route

    def condition(self, hosts, kind, path):
        entry = {}
        if hosts:
            entry["host"] = hosts[0] if len(hosts) == 1 else hosts
        path = values.path(path, kind == "=")
        if kind == "=":
            entry["path"] = path
        else:
            entry["prefix"] = path if path.endswith("/") else path + "*"
        return entry

    @staticmethod
    def guard_itself(route, server):
        """nginx redirects /p to a location /p/. Here it would go to another route, so the guard takes it, too."""
        prefix = route.get("prefix", "")
        bare = prefix[:-1]
        is_known = any(values.encoded(entry.path, "?#%") == bare for entry in server.entries if entry.kind in ("", "="))
        if prefix.endswith("/") and bare and not bare.endswith("/") and not is_known:
            route["prefix"] = bare

    @staticmethod
    def guards_of(entry, server):
        own = sorted(entry.guards - server.guards)
        own += [name for name in ("allow", "deny") if name in entry.scope.fresh]
        return f", without its {' and '.join(own)}" if own else ""

    def route(self, entry, server, hosts):
        scope = entry.scope
        if entry.kind in ("~", "~*"):
            lost = self.guards_of(entry, server)
            raise Untranslatable(f"location {entry.kind} {entry.path}: there are no regular expressions: "
                                 f"its requests go to the other locations now{lost}")
        route = self.condition(hosts, entry.kind, entry.path)
        if entry.guards or server.guards or server.is_closed:
            return self.closed(entry, hosts)
        if entry.is_internal:
            return None if self.conversion.is_error_page(entry, server) else {**route, "respond": {"status": "404"}}
        returned, passed = scope.all("return"), scope.all("proxy_pass") + scope.all("grpc_pass")
        if returned:
            route.update(self.returned(returned[-1], entry, server, hosts))
        elif passed:
            self.passes(route, entry, passed[-1])
        else:
            return None if self.conversion.is_error_page(entry, server) else {**route, "respond": {"status": "404"}}
        changed = location.response_headers(scope, self.report)
        if changed:
            route["response_headers"] = changed
        access = location.access(scope, server.is_client_unknown)
        if access is None:
            return {**self.condition(hosts, entry.kind, entry.path), "respond": {"status": "403"}}
        route.update(access)
        route.update(location.rate_limit(scope, self.zones, self.report))
        body = scope.arg("client_max_body_size")
        if body and values.size(body) != self.top.get("max_body"):
            route["max_body"] = values.size(body)
        pages = self.error_pages(scope, server)
        if pages:
            route["error_pages"] = pages
        return route

    def closed(self, entry, hosts):
        """A route that lets nobody through, where the location might have let only some."""
        if entry.kind in ("~", "~*"):
            return None
        condition = self.condition(hosts, entry.kind, entry.path)
        self.report.untranslated(entry.statement, f"location {entry.path}: closed with 403 until you have decided")
        return {**condition, "respond": {"status": "403"}}

    def returned(self, statement, entry, server, hosts):
        found = location.outcome(statement, server.hosts, entry.scope.arg("default_type"))
        to = found.get("redirect", {}).get("to", "")
        if "{host}" in to.partition("://")[2] and "://" in to and not hosts:
            self.report.untranslated(statement, f"return {to}: redirects the names of its server only, and no other host")
            found = {**self.condition(server.hosts, entry.kind, entry.path), **found}
        return found

    def passes(self, route, entry, statement):
        scheme, name, uri = upstreams.split_pass(statement["args"][0])
        scope = entry.scope
        changed, host = location.request_headers(scope, self.report)
        if host is None and not name.startswith("unix:") and scheme in ("http", "https"):
            if name in self.conversion.upstreams:
                self.report.note(statement, f"nginx sends Host: {name}, the name of the upstream; Evener the client's. Write host_header for another")
            else:
                if not values.is_authority(name):
                    raise Untranslatable(f"proxy_pass to {name}: no name of a host")
                route["host_header"] = name
        elif host:
            route["host_header"] = host
        route["upstream"] = self.use(scheme, name, scope, statement)
        scope.lost(self.report)
        route.update(location.target(entry.kind, entry.path, uri))
        if "strip_prefix" in route or ("replace_prefix" in route and entry.kind != "="):
            if not entry.path.endswith("/") and "prefix" in route:
                route["prefix"] = values.path(entry.path, True)
                self.report.note(statement, f"location {entry.path} with a URI takes whole segments in Evener: {entry.path} and {entry.path}/…")
        if changed:
            route["request_headers"] = changed
        is_tunnel = any(said["args"][0].lower() == "upgrade" for said in scope.all("proxy_set_header"))
        route.update(location.times(scope, is_tunnel))
        route.update(location.retries(scope, self.report.once))

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
        known = self.conversion.upstreams.get(name)
        port = 443 if scheme in ("https", "grpcs") else 80
        if known:
            entry = {"endpoints": known.endpoints(SCHEMES[scheme], port), **known.keys, **keys}
        else:
            entry = {"endpoints": [SCHEMES[scheme] + values.address(name, port)], **keys}
        if not entry["endpoints"]:
            raise Untranslatable(f"upstream {name} has no servers that are used")
        self.conversion.refuse_own(entry["endpoints"])
        for given, written in self.used.items():
            alike = {key: value for key, value in written.items() if key != "connect_timeout"} == entry
            if alike and given.split("-")[0] == self.conversion.plain_name(name):
                return self.connects(given, connect, statement)
        base = self.conversion.plain_name(name)
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

    def error_pages(self, scope, server):
        pages = {}
        for statement in scope.all("error_page"):
            codes, uri = statement["args"][:-1], statement["args"][-1]
            if not uri.startswith("/") or any(code.startswith("=") for code in codes):
                self.report.once(statement, "error_page: only files of a root can be translated")
                continue
            root = next((entry.scope.arg("root") for entry in server.entries if entry.path == uri), None)
            root = root or scope.arg("root")
            extension = os.path.splitext(uri)[1]
            if root is None or extension not in (".html", ".htm", ".txt", ".json", ".xml", ".svg"):
                self.report.once(statement, f"error_page {uri}: its file is not known")
                continue
            file = root.rstrip("/") + uri
            if " " in file or "$" in file:
                self.report.once(statement, f"error_page {uri}: a file whose name is fixed, without spaces")
                continue
            pages.update({code: file for code in codes if code.isdigit() and 400 <= int(code) <= 599})
            for code in codes:
                if code not in pages:
                    self.report.once(statement, f"error_page {code}: Evener has pages for 400 to 599")
        return pages

