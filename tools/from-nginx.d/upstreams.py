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
        self.said = []
        for statement in block["block"]:
            try:
                self.read(statement, report)
            except Untranslatable as what:
                report.untranslated(statement, str(what))
        if self.keys.get("policy") != "hash":
            self.keys.pop("hash_on", None)
        self.agree(report)

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
            self.keys["max_idle"] = values.number(args[0], 0, 65536, "keepalive")
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
        said = {}
        for word in words:
            name, _, value = word.partition("=")
            if name == "weight":
                server["weight"] = values.number(value, 1, 1000, "weight")
            elif name == "backup":
                server["backup"] = True
            elif name == "down":
                report.note(statement, f"{address} is down and left out: drain endpoints by the admin API instead")
                return
            elif name == "max_fails":
                said[name] = "off" if value == "0" else values.number(value, 1, 255, name)
            elif name == "fail_timeout":
                said[name] = values.time(value)
                if values.seconds(said[name]) > 3600:
                    raise Untranslatable(f"{word}: at most an hour in Evener, and {address} is left out")
            elif name == "max_conns":
                said["max_requests"] = None if value == "0" else values.number(value, 1, 1048576, name)
            elif name not in ("resolve",):
                report.untranslated(statement, f"{word} of a server has no equivalent")
            else:
                server["address"] = "dns:" + values.address(address, 80)
        values.address(address, 80)
        if server["address"] in [known["address"] for known in self.servers]:
            raise Untranslatable(f"{address} is there twice: write a weight instead")
        self.servers.append(server)
        self.said.append((statement, address, said))

    def agree(self, report):
        """Sets for all what its servers say, and lists where they differ: in Evener it holds for a whole upstream."""
        for key, default in [("max_fails", "1"), ("fail_timeout", "10s"), ("max_requests", None)]:
            found = [(statement, address, said.get(key, default)) for statement, address, said in self.said]
            if not any(key in said for _, _, said in self.said):
                continue
            chosen = next(said[key] for _, _, said in self.said if key in said)
            if chosen is not None:
                self.keys[key] = chosen
            differs = [(statement, address) for statement, address, value in found if value != chosen]
            if differs:
                statement, address = differs[0]
                report.untranslated(
                    statement, f"upstream {self.name}: {key} {chosen or 'off'} holds for all of its servers, "
                    f"of which {', '.join(one for _, one in differs)} had another")

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
