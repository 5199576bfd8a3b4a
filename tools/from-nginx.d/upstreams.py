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
        # What servers say that holds for all of an upstream, of how many servers.
        self.said, self.count = {}, 0
        for statement in block["block"]:
            try:
                self.read(statement, report)
            except Untranslatable as what:
                report.untranslated(statement, str(what))
        for key, said in self.said.items():
            self.shared(key, said, block, report)

    def shared(self, key, said, block, report):
        """What servers say, and holds for all of an upstream in Evener."""
        if len(said) == self.count and len(set(said)) == 1:
            self.keys[key] = said[0]
        elif key == "max_requests" or "off" in said:
            report.untranslated(block, f"{key} of some servers: it holds for a whole upstream, and is left out")
        else:
            self.keys[key] = said[0]
            report.note(block, f"{key} holds for a whole upstream: {said[0]}, which was written first")

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
        server, said = {"address": address, "weight": "1", "backup": False}, {}
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
                said["max_fails"] = "off" if value == "0" else value
            elif name == "fail_timeout":
                said["fail_timeout"] = values.time(value)
            elif name == "max_conns" and value != "0":
                said["max_requests"] = value
            elif name not in ("resolve", "max_conns"):
                report.untranslated(statement, f"{word} of a server has no equivalent")
            elif name == "resolve":
                server["address"] = "dns:" + values.address(address, 80)
        self.count += 1
        for key, value in said.items():
            self.said.setdefault(key, []).append(value)
        self.servers.append(server)

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
