"""`upstream` blocks: endpoints and how they are used."""

import re

import values
from values import Untranslatable

# What there is nothing to say of.
NOTHING = {"zone", "keepalive_requests", "keepalive_time", "state"}


class Upstream:
    """An `upstream`, as it is written."""

    def __init__(self, block, report):
        self.name = block["args"][0]
        self.servers = []
        self.keys = {}
        for statement in block["block"]:
            try:
                self.read(statement, report)
            except Untranslatable as what:
                report.untranslated(statement, str(what))

    def read(self, statement, report):
        name, args = statement["directive"], statement["args"]
        if name == "server":
            self.server(statement, report)
        elif name == "least_conn":
            self.keys["policy"] = "least_requests"
        elif name == "ip_hash":
            self.keys.update(policy="hash", hash_on="client")
            report.note(statement, "ip_hash hashes the first three octets of an IPv4 address, Evener all four")
        elif name == "hash":
            self.keys.update(policy="hash", hash_on=values.hash_key(args[0]))
        elif name == "random":
            self.keys["policy"] = "two_choices" if args[:1] == ["two"] else "random"
        elif name == "least_time":
            self.keys["policy"] = "least_time"
        elif name == "sticky" and args[:1] == ["cookie"] and len(args) >= 2:
            self.sticky(args[1:], statement, report)
        elif name == "keepalive":
            self.keys["max_idle"] = args[0]
        elif name == "keepalive_timeout":
            self.keys["upstream_keepalive_timeout"] = values.time(args[0])
        elif name not in NOTHING:
            raise Untranslatable(f"{name} has no equivalent")

    def sticky(self, args, statement, report):
        cookie = {"cookie": args[0]}
        for word in args[1:]:
            if word.startswith("expires=") and word != "expires=max":
                cookie["max_age"] = values.time(word[len("expires="):])
            elif word not in ("httponly", "secure", "path=/", "samesite=lax"):
                report.note(statement, f"sticky cookie: {word} has no equivalent")
        self.keys["sticky"] = cookie

    def server(self, statement, report):
        address, words = statement["args"][0], statement["args"][1:]
        server = {"address": address, "weight": "1", "backup": False}
        for word in words:
            name, _, value = word.partition("=")
            if name == "weight":
                server["weight"] = value
            elif name == "backup":
                server["backup"] = True
            elif name == "down":
                report.note(statement, f"{address} is down and left out: drain endpoints by the admin API instead")
                return
            elif name == "max_fails":
                self.shared("max_fails", "off" if value == "0" else value, statement, report)
            elif name == "fail_timeout":
                self.shared("fail_timeout", values.time(value), statement, report)
            elif name == "max_conns" and value != "0":
                self.shared("max_requests", value, statement, report)
            elif name not in ("resolve", "max_conns"):
                report.untranslated(statement, f"{word} of a server has no equivalent")
            elif name == "resolve":
                server["address"] = "dns:" + values.address(address, 80)
        self.servers.append(server)

    def shared(self, key, value, statement, report):
        """A setting of one server, which Evener has for all of an upstream."""
        if self.keys.get(key, value) != value:
            report.untranslated(statement, f"{key} holds for a whole upstream: {self.keys[key]} was written first")
        else:
            self.keys[key] = value

    def endpoints(self, scheme, port):
        """Its endpoints, for connections of this scheme."""
        written = []
        for server in self.servers:
            address = scheme + values.address(server["address"], port)
            weight = server["weight"]
            if server["backup"]:
                entry = {"address": address}
                if weight != "1":
                    entry["weight"] = weight
                written.append({**entry, "backup": True})
            else:
                written.append(address if weight == "1" else f"{address}@{weight}")
        return written


def split_pass(text):
    """The scheme, the name or address, and the URI (or None) of a `proxy_pass` or `grpc_pass`."""
    match = re.fullmatch(r"(https?|grpcs?)://(unix:[^:]+:?|[^/]+)(/.*)?", text)
    if not match:
        if "$" not in text and "://" not in text:
            return "http", text, None
        raise Untranslatable(f"{text}: only a scheme and a fixed name can be translated")
    scheme, name, uri = match[1], match[2], match[3]
    if name.startswith("unix:"):
        rest = text[len(scheme) + 3:]
        name, _, uri = rest[len("unix:"):].partition(":")
        name, uri = "unix:" + name, uri or None
    if "$" in name or "$" in (uri or ""):
        raise Untranslatable(f"{text}: variables choose no endpoint in Evener")
    return scheme, name, uri
