"""A `server` block: its names, listeners and locations."""

import re

import values
from location import Scope
from values import Untranslatable

# What is asked of clients' certificates, which Evener has once for all TLS listeners.
TLS_CLIENTS = {"ssl_verify_client", "ssl_client_certificate"}


class Entry:
    """A `location`, or what a server does without one."""

    def __init__(self, statement, kind, path, scope):
        self.statement, self.kind, self.path, self.scope = statement, kind, path, scope
        self.guards, self.is_internal = set(), False
        # None is what the server says.
        self.is_unlogged = None


class Server:
    def __init__(self, block, above, conversion):
        self.conversion, self.report, self.block = conversion, conversion.report, block
        self.names, self.listens, self.entries = [], [], []
        self.is_default = self.is_redirect_to_https = self.is_unlogged = False
        self.tls_clients = {}
        self.guards = set(conversion.guards)
        self.scope = Scope(above)
        first = [s for s in block["block"] if s["directive"] not in ("location", "return")]
        conversion.read_all(first, self.statement)
        if not self.listens:
            self.listens.append(("0.0.0.0:80", False, block))
        rest = [s for s in block["block"] if s["directive"] in ("location", "return")]
        returned = next((s for s in rest if s["directive"] == "return"), None)
        if returned:
            self.returns(returned)
        else:
            conversion.read_all(rest, self.location)
            if not self.entries:
                self.report.untranslated(block, "a server without locations serves files, or nothing")

    def returns(self, statement):
        text = statement["args"][-1]
        is_plain = not any(is_tls for _, is_tls, _ in self.listens)
        if is_plain and re.fullmatch(r"https://\$(host|server_name|http_host)\$request_uri", text):
            self.is_redirect_to_https = True
            if statement["args"][0] != "308":
                self.report.note(statement, "redirect_https answers 308, which keeps the method")
            return
        scope = Scope(self.scope)
        scope.add(statement)
        self.entries.append(Entry(statement, "", "/", scope))

    def statement(self, statement):
        name, args = statement["directive"], statement["args"]
        if name == "listen":
            if "quic" in args:
                raise Untranslatable("listen … quic: there is no HTTP/3")
            address = values.listen_address(args[0]) + (",proxy" if "proxy_protocol" in args else "")
            self.listens.append((address, "ssl" in args, statement))
            self.is_default |= "default_server" in args or "default" in args
        elif name == "server_name":
            for host in args:
                self.name(host.lower(), statement)
        elif name in TLS_CLIENTS:
            self.tls_clients[name] = args[0]
        elif name == "access_log" and args[0] == "off":
            self.is_unlogged = True
        elif not self.conversion.setting(statement):
            self.conversion.guarded(statement, self.guards)
            self.conversion.scoped(statement, self.scope)

    def name(self, host, statement):
        hosts = [host[1:], "*" + host] if host.startswith(".") else [host]
        for host in hosts:
            if values.HOST.fullmatch(host):
                self.names.append(host)
            elif host not in ("_", ""):
                self.report.untranslated(statement, f"server_name {host}: a host is exact, or *. before a name, and has no port")

    def location(self, block):
        args = block["args"]
        kind, path = (args[0], args[1]) if len(args) == 2 else ("", args[0])
        if path.startswith("@"):
            raise Untranslatable(f"location {path}: there are no internal redirects")
        kind = "" if kind == "^~" else kind
        scope = Scope(self.scope)
        entry = Entry(block, kind, path, scope)
        for statement in block["block"]:
            name = statement["directive"]
            try:
                if name in ("proxy_pass", "grpc_pass", "return"):
                    scope.add(statement)
                elif name == "location":
                    self.location(statement)
                elif name == "access_log" and statement["args"][0] == "off":
                    entry.is_unlogged = True
                elif name in ("access_log", "error_log"):
                    entry.is_unlogged = False if name == "access_log" else entry.is_unlogged
                    self.report.note(statement, f"{name} of a location: Evener has one log")
                elif name == "root" and any(said["args"][-1] == path for said in self.scope.all("error_page")):
                    scope.add(statement)
                elif name == "internal":
                    entry.is_internal = True
                else:
                    self.conversion.guarded(statement, entry.guards)
                    self.conversion.scoped(statement, scope)
            except Untranslatable as what:
                self.report.untranslated(statement, str(what))
        self.entries.append(entry)
        if not (entry.kind in ("~", "~*") or scope.all("proxy_pass") or scope.all("grpc_pass") or scope.all("return")):
            if not self.conversion.is_error_page(entry, self):
                self.report.untranslated(block, f"location {path}: serves files, or what Evener does not know: answered with 404")
