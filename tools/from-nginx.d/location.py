"""What a `server` or a `location` says of its requests, with what it inherits."""

import re

import values
from values import Untranslatable

# What nginx inherits as a whole: a level that says one of a name has none of those above.
AS_A_WHOLE = {"proxy_set_header", "add_header", "allow", "deny", "limit_req", "error_page", "grpc_set_header"}
ONE = {
    "client_max_body_size", "proxy_connect_timeout", "proxy_read_timeout", "proxy_send_timeout",
    "proxy_next_upstream", "proxy_next_upstream_tries", "proxy_ssl_verify", "proxy_ssl_name",
    "proxy_ssl_trusted_certificate", "proxy_ssl_certificate", "proxy_ssl_certificate_key", "proxy_hide_header",
    "root", "grpc_read_timeout", "grpc_connect_timeout", "grpc_send_timeout", "proxy_ssl_server_name",
    "limit_req_status", "proxy_intercept_errors", "proxy_bind", "proxy_pass_request_headers", "proxy_redirect",
    "proxy_http_version", "default_type", "access_log",
}
# What is lost of requests that are passed on, if it says anything but what Evener does.
LOST = {
    "proxy_bind": ("off",), "proxy_send_timeout": (), "grpc_send_timeout": (), "proxy_pass_request_headers": ("on",),
    "proxy_redirect": ("off", "default"), "proxy_intercept_errors": ("off",), "proxy_http_version": ("1.1", "2"),
}
# What keeps requests out. Without a translation its location is closed rather than left open.
GUARDS = {
    "auth_basic", "auth_basic_user_file", "auth_request", "auth_jwt", "satisfy", "limit_except", "secure_link",
    "valid_referers", "if", "auth_delay", "allow", "deny", "ssl_verify_client", "ssl_crl", "ssl_ocsp", "auth_oidc",
    "js_access", "access_by_lua_block", "access_by_lua_file", "geoip2", "modsecurity", "set_real_ip_from", "real_ip_header",
}
# Headers that Evener sends by itself.
OWN = {
    ("host", "$host"), ("host", "$http_host"), ("connection", ""), ("connection", "upgrade"),
    ("connection", "$connection_upgrade"), ("upgrade", "$http_upgrade"),
    ("x-forwarded-for", "$proxy_add_x_forwarded_for"), ("x-forwarded-for", "$remote_addr"),
    ("x-forwarded-proto", "$scheme"), ("x-forwarded-host", "$host"), ("x-forwarded-host", "$http_host"),
    ("te", "$http_te"),
}
# What frames a message or belongs to one connection.
FRAMING = {"content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "trailer", "te", "expect", "host",
           "proxy-connection", "http2-settings"}
KNOWN = FRAMING | {"proxy", "via", "date", "forwarded", "x-real-ip", "x-request-id", "max-forwards"}
REDIRECTS = {"301", "302", "303", "307", "308"}


class Scope:
    """The statements that hold at one level."""

    order = 0

    def __init__(self, above=None):
        self.said = {name: list(said) for name, said in above.said.items()} if above else {}
        self.fresh = set()

    def lost(self, report):
        """Lists what endpoints or clients do not get any more."""
        for name, harmless in LOST.items():
            for statement in self.all(name)[-1:]:
                if statement["args"][0] not in harmless:
                    report.once(statement, f"{name} {' '.join(statement['args'])} has no equivalent")

    def add(self, statement):
        name = statement["directive"]
        if name in AS_A_WHOLE | ONE and name not in self.fresh:
            self.said[name] = []
            self.fresh.add(name)
        statement["order"] = Scope.order = Scope.order + 1
        self.said.setdefault(name, []).append(statement)

    def all(self, name):
        return self.said.get(name, [])

    def arg(self, name):
        said = self.all(name)
        return said[-1]["args"][0] if said and said[-1]["args"] else None


def header(name):
    """The name of a header that may be changed."""
    lower = name.lower()
    plain = re.sub(r"[^a-z0-9]", "-", lower)
    if not values.is_header(name):
        raise Untranslatable(f"{name}: no name of a header")
    if lower in FRAMING:
        raise Untranslatable(f"{name}: belongs to one connection, and cannot be set")
    if plain != lower and (plain in KNOWN or plain.startswith(("x-forwarded-", "x-client-cert-"))):
        raise Untranslatable(f"{name}: endpoints may take it for {plain}")
    return name


def header_value(text):
    value = values.template(text)
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
        raise Untranslatable(f"{text!r}: a header is one line")
    return value


def outcome(statement, names, content_type):
    """`return`: a redirect or an answer."""
    args = statement["args"]
    code, text = (args[0], args[1] if len(args) > 1 else None)
    if not code.isdigit():
        code, text = "302", code
    if code == "444":
        raise Untranslatable("return 444: Evener always answers; deny answers 403")
    if code in REDIRECTS:
        if text is None:
            raise Untranslatable(f"return {code} without a place to go to")
        if len(names) == 1 and not names[0].startswith("*"):
            text = re.sub(r"\$(server_name|\{server_name\})", names[0], text)
        if text.startswith("/") and re.match(r"/?\$", text):
            raise Untranslatable(f"return {code} {text}: a request could choose the host")
        to = values.encoded(values.template(text), "")
        if not re.match(r"(https?|\{scheme\})://.|/(?!/)", to):
            raise Untranslatable(f"return {code} {text}: a place begins with a scheme and a host, or with one /")
        if to.startswith(("https://{host}", "http://{host}", "{scheme}://{host}")) and not names:
            raise Untranslatable(f"return {code} {text}: the host of a redirect has to be named by server_name")
        return {"redirect": {"to": to, "status": code}}
    if int(code) < 200 or int(code) > 599:
        raise Untranslatable(f"return {code}")
    respond = {"status": code}
    if text and code not in ("204", "304"):
        respond["body"] = values.template(text)
        if content_type and content_type != "text/plain":
            respond["content_type"] = content_type
    return {"respond": respond}


def request_headers(scope, report):
    """`proxy_set_header`: what is changed, and the Host if it is fixed."""
    changed, removed, host = {}, [], None
    for statement in scope.all("proxy_set_header") + scope.all("grpc_set_header"):
        name, value = statement["args"][0], statement["args"][1]
        try:
            if (name.lower(), value.lower()) in OWN:
                if name.lower() == "host":
                    host = ""
                continue
            if name.lower() == "host":
                host = None if value == "$proxy_host" else values.template(value)
                if host is not None and not values.is_authority(host):
                    host = None
                    raise Untranslatable(f"Host {value}: host_header is a fixed name, with a port or without")
            elif name.lower() in [known.lower() for known in removed + list(changed)]:
                raise Untranslatable(f"{name}: is set or removed already: a header is sent once")
            elif value == "":
                removed.append(header(name))
            else:
                changed[header(name)] = header_value(value)
        except Untranslatable as what:
            report.once(statement, str(what))
    entry = {}
    if changed:
        entry["set"] = changed
    if removed:
        entry["remove"] = removed
    return entry, host


def response_headers(scope, report):
    added, removed = {}, []
    for statement in scope.all("add_header"):
        name, value = statement["args"][0], statement["args"][1]
        if statement["args"][2:] != ["always"]:
            report.note(statement, "add_header without always leaves errors alone; Evener adds to every answer")
        try:
            # `add` takes each spelling once, and names of headers have no case.
            free = [one for one in (header(name), name.lower(), name.upper()) if one not in added]
            if not free:
                raise Untranslatable(f"add_header {name}: there so often that add does not take it")
            added[free[0]] = header_value(value)
        except Untranslatable as what:
            report.once(statement, str(what))
    for statement in scope.all("proxy_hide_header"):
        try:
            if statement["args"][0].lower() not in [known.lower() for known in removed]:
                removed.append(header(statement["args"][0]))
        except Untranslatable as what:
            report.once(statement, str(what))
    entry = {}
    if added:
        entry["add"] = added
    if removed:
        entry["remove"] = removed
    return entry


def access(scope, is_client_unknown):
    """`allow` and `deny`, of which nginx takes the first that fits, and Evener any `deny` first. None is for nobody."""
    words = [(statement["directive"], statement["args"][0]) for statement in ordered(scope)]
    if not words or words == [("allow", "all")]:
        return {}
    if is_client_unknown:
        raise Untranslatable("allow and deny: the addresses of clients are not known")
    for _, network in words:
        if network not in ("all", "unix:"):
            values.network(network)
    last = words[-1] if words[-1][1] == "all" else ("allow", "all")
    listed = words[:-1] if words[-1][1] == "all" else words
    if any(network in ("all", "unix:") for _, network in listed):
        raise Untranslatable("allow and deny: all before the end, and unix:, have no equivalent")
    allowed = [network for word, network in listed if word == "allow"]
    denied = [network for word, network in listed if word == "deny"]
    first_deny = next((at for at, (word, _) in enumerate(listed) if word == "deny"), len(listed))
    if denied and any(word == "allow" for word, _ in listed[:first_deny]):
        raise Untranslatable("allow before deny: in Evener deny always wins")
    entry = {}
    if denied:
        entry["deny"] = denied
    if last[0] == "deny":
        if not allowed:
            return None
        entry["allow"] = allowed
    return entry


def ordered(scope):
    both = scope.all("allow") + scope.all("deny")
    return sorted(both, key=lambda statement: statement["order"])


def rate_limit(scope, zones, report):
    said = scope.all("limit_req")
    for statement in said[1:]:
        report.untranslated(statement, "a second limit_req: a route has one rate_limit")
    if not said:
        return {}
    words = dict(word.partition("=")[::2] for word in said[0]["args"])
    zone = zones.get(words.get("zone"))
    if zone is None:
        raise Untranslatable(f"limit_req: its zone {words.get('zone')} has not been translated")
    burst = int(values.number(words.get("burst", "0"), 0, 999999, "burst")) + 1
    if burst > 1 and "nodelay" not in words:
        report.note(said[0], "limit_req without nodelay delays what exceeds the rate; Evener admits the burst at once")
    report.note(said[0], "requests beyond a rate get 429 with Retry-After, whatever limit_req_status says")
    return {"rate_limit": {"rate": zone["rate"], "burst": str(burst), "by": zone["by"]}}


def retries(scope, statement_of):
    """`proxy_next_upstream` and its tries."""
    entry = {}
    said = scope.all("proxy_next_upstream")
    if said:
        words = said[-1]["args"]
        if words == ["off"]:
            return {"retries": "0"}
        known = {"error": ["connect", "stale", "reset"], "timeout": ["timeout"], "http_502": ["502"],
                 "http_503": ["503"], "http_504": ["504"]}
        reasons = [reason for word in words for reason in known.get(word, [])]
        unknown = [word for word in words if word not in known and word != "invalid_header"]
        if "http_500" in unknown:
            unknown.remove("http_500")
            reasons = [reason for reason in reasons if not reason.isdigit()] + ["5xx"]
        if not reasons:
            return {"retries": "0"}
        entry["retry_on"] = list(dict.fromkeys(reasons))
        for word in unknown:
            statement_of(said[-1], f"proxy_next_upstream {word} has no equivalent")
    tries = scope.arg("proxy_next_upstream_tries")
    if tries and tries != "0":
        entry["retries"] = str(min(int(values.number(tries, 1, 99999, "proxy_next_upstream_tries")) - 1, 7))
    return entry


def times(scope, is_tunnel):
    """Times of a route. nginx's read timeout is for any two reads: the head of an answer, and its body."""
    entry = {}
    read = scope.arg("proxy_read_timeout") or scope.arg("grpc_read_timeout")
    if read:
        entry["response_timeout"] = values.time(read)
        entry["idle_timeout"] = values.time(read)
        if is_tunnel:
            entry["tunnel_timeout"] = values.time(read)
    return entry


def target(kind, path, uri):
    """How the path of a request changes by the URI of `proxy_pass`."""
    if uri is None or uri == path:
        return {}
    uri = values.replacement(uri)
    if kind == "=":
        if uri != "/" and uri.endswith("/"):
            raise Untranslatable(f"the path {uri} of a proxy_pass: a replaced path ends without /")
        return {"replace_prefix": uri}
    if uri == "/":
        return {} if path == "/" else {"strip_prefix": True}
    return {"replace_prefix": uri.rstrip("/") or "/"}
