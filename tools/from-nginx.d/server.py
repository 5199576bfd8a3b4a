"""`server` and `location` blocks, as they are written."""

import re

import values
from location import Scope
from settings import Settings
from values import Untranslatable

TO_HTTPS = re.compile(r"https://\$(host|server_name|http_host)\$request_uri")
# What a location does not have from the one that it stands in.
OWN = {"proxy_pass", "grpc_pass", "return"}


def beginning(expression):
    """The text that all begin with which an expression takes, if that is more than a slash."""
    if "|" in re.sub(r"\([^()]*\)", "", expression):
        return None
    found = re.match(r"\^(/[A-Za-z0-9_/-]+)(.?)", expression)
    text = found[1][:-1] if found and found[2] and found[2] in "?*{" else found[1] if found else "/"
    return text if text != "/" else None


class Entry:
    """A `location`, or what a server does without one."""

    def __init__(self, statement, kind, path, scope, guards=()):
        self.statement, self.kind, self.path, self.scope = statement, kind, path, scope
        self.guards, self.is_internal, self.within = set(guards), False, None


class Server:
    def __init__(self, block, above, conversion):
        self.conversion, self.report = conversion, conversion.report
        self.block, self.names, self.listens, self.entries = block, [], [], []
        self.default_of, self.hosts = set(), []
        self.is_unlogged = self.is_client_unknown = self.is_closed = False
        self.certbot = None
        self.guards = set(conversion.guards)
        self.settings = Settings(conversion.settings)
        self.scope = Scope(above)
        first = [s for s in block["block"] if s["directive"] not in ("location", "return")]
        conversion.read_all(first, self.statement)
        if not any(statement["directive"] == "listen" for statement in first):
            self.listens.append(["0.0.0.0:80", False, False, block])
        rest = [s for s in block["block"] if s["directive"] in ("location", "return")]
        self.returned = next((s for s in rest if s["directive"] == "return"), None)
        if self.returned:
            scope = Scope(self.scope)
            scope.add(self.returned)
            self.entries.append(Entry(self.returned, "", "/", scope))
            return
        conversion.read_all(rest, lambda location: self.location(location, self.scope, ()))
        self.drop_unreachable()
        self.close_by_expression()
        if not self.entries:
            self.report.untranslated(block, "a server without locations serves files, or nothing")

    def drop_unreachable(self):
        """A location within another is not asked where a longer one beside that takes the request."""
        for entry in [entry for entry in self.entries if entry.within]:
            beside = [other.path for other in self.entries if other.kind == "" and other.within is None]
            if any(entry.path.startswith(path) and len(path) > len(entry.within) for path in beside):
                self.report.untranslated(
                    entry.statement, f"location {entry.path}: left out: nginx asks another one, which is longer than {entry.within}")
                self.entries.remove(entry)

    def close_by_expression(self):
        """What an expression with a guard takes is closed by the text that it begins with, if there is one."""
        for entry in [entry for entry in self.entries if entry.kind in ("~", "~*")]:
            guards = (entry.guards - self.guards) | ({"allow", "deny"} & entry.scope.fresh)
            start = beginning(entry.path)
            if not guards or not start:
                continue
            below = [other for other in self.entries if other.kind == "" and other.path.startswith(start)]
            for other in below:
                other.guards |= guards
            if start not in [other.path for other in below]:
                self.entries.append(Entry(entry.statement, "", start, Scope(self.scope), guards))

    @property
    def passes(self):
        return any(entry.scope.all("proxy_pass") or entry.scope.all("grpc_pass") for entry in self.entries)

    @property
    def redirect(self):
        """The statement by which all of a plain server is redirected to https, if it is."""
        if any(is_tls for _, is_tls, _, _ in self.listens):
            return None
        if self.certbot and self.returned:
            return self.certbot
        entry = next((entry for entry in self.entries if entry.kind == "" and entry.path == "/"), None)
        said = entry.scope.all("return") if entry else []
        return said[-1] if said and TO_HTTPS.fullmatch(said[-1]["args"][-1]) else None

    def statement(self, statement):
        name, args = statement["directive"], statement["args"]
        if name == "listen":
            if "quic" in args:
                raise Untranslatable("listen … quic: there is no HTTP/3")
            address = values.listen_address(args[0])
            if address not in [known for known, _, _, _ in self.listens]:
                self.listens.append([address, "ssl" in args, "proxy_protocol" in args, statement])
            if "default_server" in args or "default" in args:
                self.default_of.add(address)
        elif name == "server_name":
            self.name(statement)
        elif name == "if" and self.is_redirect_of_certbot(statement):
            self.certbot = statement["block"][0]
        elif name == "error_log":
            self.report.untranslated(statement, "error_log of a server: Evener has one log")
        elif not self.settings.add(statement):
            self.conversion.guarded(statement, self.guards)
            self.conversion.scoped(statement, self.scope)

    @staticmethod
    def is_redirect_of_certbot(statement):
        """`if ($host = NAME) { return 301 https://$host$request_uri; }`, which lets nobody in."""
        inner = statement.get("block", [])
        is_return = len(inner) == 1 and inner[0]["directive"] == "return"
        return is_return and bool(TO_HTTPS.fullmatch(inner[0]["args"][-1]))

    def name(self, statement):
        for host in statement["args"]:
            lower = host.lower()
            found = [lower[1:], "*" + lower] if lower.startswith(".") else [lower]
            if host in ("_", "", "--"):
                continue
            if host.startswith("~") or host.endswith(".*"):
                self.report.untranslated(statement, f"server_name {host}: a host is exact, or *. before a name")
            elif re.fullmatch(r"[^\[\]:]+:\d+", host):
                self.report.untranslated(statement, f"server_name {host}: names are compared without a port: no request has it")
            elif not all(values.is_host(one) for one in found):
                self.report.untranslated(statement, f"server_name {host}: not a host name")
            else:
                self.names += [one for one in found if one not in self.names]

    def location(self, block, above, guards, parent=None):
        args = block["args"]
        kind, path = (args[0], args[1]) if len(args) == 2 else ("", args[0])
        if path.startswith("@"):
            raise Untranslatable(f"location {path}: there are no internal redirects")
        kind = "" if kind == "^~" else kind
        scope = Scope(above)
        for name in OWN:
            scope.said.pop(name, None)
        entry = Entry(block, kind, path, scope, guards)
        if parent:
            entry.within, entry.is_internal = parent.within or parent.path, parent.is_internal
        inner = [statement for statement in block["block"] if statement["directive"] == "location"]
        for statement in block["block"]:
            try:
                self.location_statement(statement, entry)
            except Untranslatable as what:
                self.report.untranslated(statement, str(what))
        self.conversion.read_all(inner, lambda location: self.location(location, scope, entry.guards, entry))
        self.entries.append(entry)
        if not (entry.kind in ("~", "~*") or any(scope.all(name) for name in OWN)):
            if not self.conversion.is_error_page(entry, self):
                self.report.untranslated(block, f"location {path}: serves files, or what Evener does not know: answered with 404")

    def location_statement(self, statement, entry):
        name, scope = statement["directive"], entry.scope
        if name == "location":
            return
        if name in OWN:
            scope.add(statement)
        elif name == "access_log" and statement["args"][0] == "off":
            scope.add(statement)
        elif name in ("access_log", "error_log"):
            self.report.untranslated(statement, f"{name} of a location: Evener has one log")
        elif name == "root" and any(said["args"][-1] == entry.path for said in self.scope.all("error_page")):
            scope.add(statement)
        elif name == "internal":
            entry.is_internal = True
        else:
            self.conversion.guarded(statement, entry.guards)
            self.conversion.scoped(statement, scope)
