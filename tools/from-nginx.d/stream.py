"""`stream` blocks: relays of TCP, and where TLS clients go by the name that they ask for."""

import values
from listeners import covered
from values import Untranslatable

# What keeps connections out, or changes whom they reach. Without a translation the relay is left out rather than left open.
GUARDS = {"allow", "deny", "js_access", "proxy_ssl", "ssl_verify_client", "limit_conn", "preread_by_lua_block", "preread_by_lua_file"}
# What Evener needs no word for, or does by itself.
NOTHING = {"ssl_preread", "preread_buffer_size", "preread_timeout", "proxy_buffer_size", "tcp_nodelay", "proxy_socket_keepalive",
           "include", "variables_hash_bucket_size", "map_hash_bucket_size", "real_ip_recursive", "proxy_protocol_timeout"}
MAPPED = "$ssl_preread_server_name"


class Relays:
    def __init__(self, conversion, known):
        self.conversion, self.report, self.known = conversion, conversion.report, known
        self.names, self.listens, self.used = {}, set(), {}
        self.guards, self.keys, self.proxy, self.networks = [], {}, {}, []
        self.log = None

    def read(self, block):
        for statement in block:
            if statement["directive"] == "map" and statement["args"][:1] == [MAPPED]:
                self.names["$" + statement["args"][1].lstrip("$")] = self.named(statement)
        # What holds for all servers may be written after them.
        self.conversion.read_all([one for one in block if one["directive"] != "server"], self.statement)
        self.conversion.read_all([one for one in block if one["directive"] == "server"], self.server)

    def statement(self, statement):
        name = statement["directive"]
        if name == "map" and statement["args"][:1] != [MAPPED]:
            raise Untranslatable(f"map {statement['args'][0]}: Evener computes no variables")
        if name in ("upstream", "map", "log_format"):
            return
        self.setting(statement, self)

    def setting(self, statement, level):
        """What the whole block or one server says of relays."""
        name, args = statement["directive"], statement["args"]
        if name == "proxy_timeout":
            level.keys = {**level.keys, "tunnel_timeout": values.time(args[0])}
        elif name == "proxy_connect_timeout":
            level.keys = {**level.keys, "connect_timeout": values.time(args[0])}
        elif name == "proxy_protocol":
            level.proxy = {"proxy": "v1"} if args == ["on"] else {}
        elif name == "set_real_ip_from":
            level.networks = level.networks + ["unix" if args[0] == "unix:" else values.network(args[0])]
        elif name in GUARDS:
            if args[:1] != ["off"] and not (name == "allow" and args == ["all"]):
                level.guards = level.guards + [name]
        elif name == "resolver":
            self.conversion.top.setdefault("resolver", [word for word in args if "=" not in word])
        elif name not in NOTHING:
            raise Untranslatable(f"{name} has no equivalent")

    def named(self, block):
        """The upstream for each name. Names with dots at their ends and stars are plain texts without `hostnames`."""
        statements = block["block"]
        with_hosts = any(one["directive"] == "hostnames" for one in statements)
        named = {}
        for one in statements:
            name, args = one["directive"].lower(), one["args"]
            if name in ("hostnames", "volatile") and not args:
                continue
            found = [name[1:], "*" + name] if name.startswith(".") and with_hosts else [name]
            is_pattern = name.startswith(("*", ".")) or name.endswith(".*")
            if name == "include" or len(args) != 1:
                self.report.untranslated(one, f"map {MAPPED}: {name} {' '.join(args)}: not read: its names go to the default")
            elif name == "":
                self.report.untranslated(one, f'map {MAPPED}: "": clients that name nobody go to the default')
            elif name == "default":
                named[name] = (one, args[0])
            elif is_pattern and not with_hosts or not all(self.is_name(host) for host in found):
                self.report.untranslated(one, f"map {MAPPED}: {name}: a name is exact, or *. before one: its clients go to the default")
            else:
                named.update({host: (one, args[0]) for host in found if host not in named})
        return named

    @staticmethod
    def is_name(host):
        last = host.rpartition(".")[2]
        return values.is_host(host) and not host.startswith("[") and not last.isdigit()

    def server(self, block):
        level = Level(self)
        listens, passed = [], None
        for statement in block["block"]:
            name, args = statement["directive"], statement["args"]
            try:
                if name == "listen":
                    listens.append((self.listen(args), statement))
                elif name == "proxy_pass":
                    passed = (statement, args[0])
                else:
                    if name in GUARDS and name not in level.own:
                        level.own.add(name)
                        level.guards = [guard for guard in level.guards if guard != name]
                    self.setting(statement, level)
            except Untranslatable as what:
                self.report.untranslated(statement, str(what))
        if passed is None or not listens:
            return
        if level.guards:
            guards = " and ".join(dict.fromkeys(level.guards))
            raise Untranslatable(f"a relay with {guards}, which Evener does not have for relays: left out rather than left open")
        self.relay(passed, listens, level)

    @staticmethod
    def listen(args):
        if "udp" in args or "ssl" in args:
            raise Untranslatable("a relay is TCP, and TLS is not ended there")
        return values.listen_address(args[0]) + (",proxy" if "proxy_protocol" in args else "")

    def relay(self, passed, listens, level):
        statement, to = passed
        for listen, said in listens:
            top = self.conversion.top
            if not self.conversion.routes and level.networks and listen.endswith(",proxy"):
                top.setdefault("trusted", level.networks)
            if listen.endswith(",proxy") and top.get("trusted") != level.networks:
                self.report.untranslated(said, f"listen {listen}: left out: Evener takes PROXY headers from one set of trusted networks")
                continue
            address = listen.partition(",")[0]
            taken = self.listens | {other.partition(",")[0] for other in self.conversion.plain + self.conversion.tls}
            if address in taken or covered(address, taken) or any(covered(other, [address]) for other in taken):
                self.report.untranslated(said, f"listen {listen}: something else is there: left out")
                continue
            relay = {"listen": listen}
            if to in self.names:
                relay.update(self.by_name(to, {**level.keys, **level.proxy}))
                if len(relay) == 1:
                    raise Untranslatable(f"proxy_pass {to}: none of its names can be translated: the relay is left out")
            else:
                relay["upstream"] = self.upstream(to, {**level.keys, **level.proxy})
            self.listens.add(address)
            self.conversion.relays.append(relay)

    def by_name(self, to, keys):
        named = {}
        for host, (statement, target) in self.names[to].items():
            try:
                named[host] = self.upstream(target, keys)
            except Untranslatable as what:
                self.report.once(statement, str(what))
        fallback = named.pop("default", None)
        found = {"sni": named} if named else {}
        return {**found, "upstream": fallback} if fallback else found

    def upstream(self, name, keys):
        if "$" in name:
            raise Untranslatable(f"{name}: variables choose no endpoint in Evener")
        known = self.known.get(name)
        entry = {"endpoints": known.endpoints("", 0), **known.keys} if known else {"endpoints": [self.address(name)]}
        if not entry["endpoints"]:
            raise Untranslatable(f"upstream {name} has no servers that are used")
        self.conversion.refuse_own(entry["endpoints"])
        if known and entry.get("policy") == "hash":
            entry.pop("hash_on", None)
        entry.pop("sticky", None)
        written = {**entry, **keys}
        base = self.conversion.plain_name(name)
        given = next((one for one, known in self.used.items() if known == written and one.rstrip("_") == base.rstrip("_")), None)
        if given is None:
            given = base
            # Routes and relays share no upstream.
            while given in self.conversion.used:
                given += "_"
            self.used[given] = self.conversion.used[given] = written
        return given

    @staticmethod
    def address(name):
        if not name.startswith("unix:") and ":" not in name:
            raise Untranslatable(f"proxy_pass {name}: an address without a port")
        return values.address(name, 0)


class Level:
    """What one server says, in place of its block."""

    def __init__(self, above):
        self.guards, self.keys, self.proxy, self.networks = list(above.guards), above.keys, above.proxy, above.networks
        self.own = set()
