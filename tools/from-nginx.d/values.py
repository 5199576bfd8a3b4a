"""Values: what nginx writes, as Evener writes it."""

import json
import re
from urllib.parse import quote

# Variables of nginx, and those of Evener that stand for the same.
VARIABLES = {
    "remote_addr": "{client}", "realip_remote_addr": "{client}", "remote_port": "{client_port}",
    "scheme": "{scheme}", "host": "{host}", "http_host": "{host}", "request_method": "{method}",
    "request_uri": "{target}", "uri": "{path}", "document_uri": "{path}", "args": "{query}",
    "query_string": "{query}", "request_id": "{request_id}", "ssl_protocol": "{tls_version}",
    "ssl_server_name": "{sni}", "ssl_client_s_dn": "{client_cert_subject}",
}

PLAIN = re.compile(r"^[A-Za-z0-9_./*%=@+-][A-Za-z0-9_./:*%=@+-]*\Z")
NUMBER = re.compile(r"^[0-9.eE+-]+$|^(true|false|null|yes|no|on|off|~)\Z", re.IGNORECASE)


# What a host is in a route, and in Host.
HOST = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*")
TOKEN = re.compile(r"[A-Za-z0-9-]+")
AUTHORITY = re.compile(r"[A-Za-z0-9_.-]+(:[0-9]+)?")


class Untranslatable(Exception):
    """Something that has no equivalent; its text says what."""


def quoted(value, keep_numbers=False):
    """A text as YAML, in flow style."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    is_number = bool(NUMBER.match(text))
    is_plain = PLAIN.match(text) and not text.endswith(":") and ": " not in text
    if is_plain and text[0] not in "*%@=-" and (keep_numbers or not is_number or text.isdigit()):
        return text
    return json.dumps(text, ensure_ascii=False)


def flow(value):
    """A value of lists, mappings and texts as YAML in flow style."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, str) and value == "off":
        return "off"
    return quoted(value)


def unescaped(text):
    """What nginx makes of a backslash."""
    known = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "'": "'", "\\": "\\"}
    return re.sub(r"\\([ntr\"'\\])", lambda match: known[match[1]], text)


def template(text):
    """A text with variables of nginx as one with variables of Evener."""
    text = unescaped(text)
    pieces = re.split(r"\$(?:\{(\w+)\}|(\w+))", text)
    out = ""
    for at, piece in enumerate(pieces):
        if at % 3 == 0:
            out += piece.replace("{", "{{").replace("${", "$${")
        elif piece is not None:
            if piece not in VARIABLES:
                raise Untranslatable(f"there is no variable for ${piece}")
            out += VARIABLES[piece]
    return out


def path(text):
    """A path as requests have it: nginx writes what it decodes to."""
    return quote(text, safe="/:@!$&'()*+,;=~-._%")


def time(text):
    """A time: a number alone is seconds."""
    if re.fullmatch(r"\d+", text):
        text += "s"
    match = re.fullmatch(r"((\d+)(ms|s|m|h|d|w)\s*)+", text)
    if not match:
        raise Untranslatable(f"the time {text}")
    seconds = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
    whole = sum(int(number) * seconds[unit] for number, unit in re.findall(r"(\d+)(ms|s|m|h|d|w)", text))
    if not 0.001 <= whole <= 7 * 86400:
        raise Untranslatable(f"the time {text}: a time is from 1 ms to 7 days")
    return re.sub(r"(\d+)w", lambda match: f"{7 * int(match[1])}d", text.replace(" ", ""))


def size(text):
    """A size; 0 is no bound."""
    match = re.fullmatch(r"(\d+)([kKmMgG]?)", text)
    if not match:
        raise Untranslatable(f"the size {text}")
    number, unit = int(match[1]), match[2].lower()
    if number == 0:
        return "off"
    return f"{number * 1024}m" if unit == "g" else f"{number}{unit}"


def listen_address(text):
    """An address to listen on."""
    if text.startswith("unix:"):
        return text
    if text.isdigit():
        return f"0.0.0.0:{text}"
    if text.startswith("*:"):
        return f"0.0.0.0:{text[2:]}"
    if re.fullmatch(r"\[[^\]]*\]", text) or ":" not in text:
        return f"{text}:80"
    return text


def address(text, port):
    """The address of an endpoint, with this port if it has none."""
    if text.startswith("unix:"):
        return text
    if re.fullmatch(r"\[[^\]]*\]", text) or ":" not in text:
        return f"{text}:{port}"
    return text


def hash_key(text):
    """What is hashed or counted by, from one variable."""
    named = {"remote_addr": "client", "binary_remote_addr": "client", "request_uri": "target", "uri": "path",
             "host": "host", "http_host": "host"}
    variable = re.fullmatch(r"\$\{?(\w+)\}?", text)
    name = variable[1] if variable else ""
    if name in named:
        return named[name]
    for prefix, kind in [("http_", "header"), ("cookie_", "cookie"), ("arg_", "query")]:
        if name.startswith(prefix):
            rest = name[len(prefix):]
            return f"{kind}:{rest.replace('_', '-') if kind == 'header' else rest}"
    raise Untranslatable(f"the key {text}")
