"""The `stream` block: relays of TCP connections."""

import values
from upstreams import Upstream
from values import Untranslatable

# What there is nothing to say of.
NOTHING = {"tcp_nodelay", "preread_timeout", "preread_buffer_size", "proxy_buffer_size", "proxy_socket_keepalive", "variables_hash_bucket_size"}
# What keeps connections out, or keeps them from being read on their way.
GUARDS = {"allow", "deny", "proxy_ssl", "limit_conn", "js_access", "pass"}


class Stream:
    def __init__(self, conversion):
        self.conversion, self.report = conversion, conversion.report
        self.upstreams, self.used = conversion.upstreams, conversion.used
        # What names lead to, by the variable of their map.
        self.names = {}

    def read(self, block):
        for statement in block:
            if statement["directive"] == "upstream":
                self.upstreams[statement["args"][0]] = Upstream(statement, self.report)
            elif statement["directive"] == "map" and statement["args"][:1] == ["$ssl_preread_server_name"]:
                self.names["$" + statement["args"][1].lstrip("$")] = statement
        self.conversion.read_all(block, self.statement)

    def named(self, statement):
        """Whom the names of a map lead to, and whom all others do."""
        named, fallback = {}, None
        for pair in statement["block"]:
            name, args = pair["directive"].lower(), pair["args"]
            if name in ("hostnames", "volatile"):
                continue
            if not args or name == "include" or "$" in args[0] or not args[0]:
                raise Untranslatable(f"map: {name} does not lead to an upstream")
            if name == "default":
                fallback = args[0]
                continue
            for host in [name[1:], "*" + name] if name.startswith(".") else [name]:
                if values.HOST.fullmatch(host):
                    named[host] = args[0]
                else:
                    self.report.untranslated(pair, f"map: {name or 'no name'}: a name is exact, or *. before a name: such clients are led as all others are")
        return named, fallback

    def statement(self, statement):
        name = statement["directive"]
        if name == "server":
            self.relay(statement)
        elif name == "map" and statement["args"][:1] != ["$ssl_preread_server_name"]:
            raise Untranslatable(f"map {statement['args'][0]}: Evener computes no variables")
        elif name in ("upstream", "map", "log_format"):
            pass
        elif not self.conversion.setting(statement) and name not in NOTHING:
            raise Untranslatable(f"{name} has no equivalent")

    def relay(self, block):
        listens, keys, passed, proxy, guards = [], {}, None, {}, []
        for statement in block["block"]:
            name, args = statement["directive"], statement["args"]
            try:
                if name == "listen":
                    if "udp" in args or "ssl" in args:
                        raise Untranslatable("a relay is TCP, and TLS is not ended there")
                    listens.append(values.listen_address(args[0]) + (",proxy" if "proxy_protocol" in args else ""))
                elif name == "proxy_pass":
                    passed = (statement, args[0])
                elif name == "proxy_timeout":
                    keys["tunnel_timeout"] = values.time(args[0])
                elif name == "proxy_connect_timeout":
                    keys["connect_timeout"] = values.time(args[0])
                elif name == "proxy_protocol" and args == ["on"]:
                    proxy = {"proxy": "v1"}
                elif name in GUARDS and args != ["off"]:
                    guards.append(name)
                elif name not in ("ssl_preread",) and name not in NOTHING:
                    raise Untranslatable(f"{name} has no equivalent")
            except Untranslatable as what:
                self.report.untranslated(statement, str(what))
        if passed is None or not listens:
            return
        if guards:
            what = f"{', '.join(dict.fromkeys(guards))}: a relay has no such guard: left out rather than left open"
            return self.report.untranslated(block, what)
        statement, to = passed
        for listen in listens:
            relay = {"listen": listen}
            if to in self.names:
                named, fallback = self.named(self.names[to])
                relay["sni"] = {host: self.relayed(target, {**keys, **proxy}) for host, target in named.items()}
                if fallback:
                    relay["upstream"] = self.relayed(fallback, {**keys, **proxy})
            elif "$" in to:
                raise Untranslatable(f"proxy_pass {to}: variables choose no endpoint in Evener")
            else:
                relay["upstream"] = self.relayed(to, {**keys, **proxy})
            self.conversion.relays.append(relay)

    def relayed(self, name, keys):
        known = self.upstreams.get(name)
        entry = {"endpoints": known.endpoints("", 0), **known.keys} if known else {"endpoints": [name]}
        if known and entry.get("policy") == "hash":
            entry.pop("hash_on", None)
        given = self.conversion.plain_name(name)
        written = {**entry, **keys}
        while given in self.used and self.used[given] != written:
            given += "_"
        self.used[given] = written
        return given
