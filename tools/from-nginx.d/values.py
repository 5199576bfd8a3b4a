"""Values: what nginx writes, as Evener writes it."""

import ipaddress
import json
import re

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


class Untranslatable(Exception):
    """Something that has no equivalent; its text says what."""


def quoted(value, keep_numbers=False):
    """A text as YAML, in flow style."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    is_number = bool(NUMBER.match(text))
    is_plain = PLAIN.match(text) and not text.endswith(":") and ": " not in text
    is_count = text.isdigit() and (text == "0" or text[0] != "0")
    if is_plain and text[0] not in "*%@=-" and (keep_numbers or not is_number or is_count):
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


def seconds(text):
    """How long a time is that `time` has written."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)(ms|s|m|h|d)", text))


def number(text, least, most, what):
    """A count within the bounds of Evener."""
    if not re.fullmatch(r"\d+", text) or not least <= int(text) <= most:
        raise Untranslatable(f"{what} {text}: in Evener a number from {least} to {most}")
    return str(int(text))


def network(text):
    """An address or a network."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise Untranslatable(f"{text}: neither an address nor a network") from None
    return text


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
        return text.rstrip(":")
    if text.isdigit():
        text = f"0.0.0.0:{text}"
    if text == "*" or text.startswith("*:"):
        text = "0.0.0.0" + text[1:]
    if re.fullmatch(r"\[[^\]]*\]", text) or ":" not in text:
        text = f"{text}:80"
    if not re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|(?!\d+-\d+:)[A-Za-z0-9_.-]+):\d+", text) or not is_port(text):
        raise Untranslatable(f"listen {text}: neither an address with one port nor unix:PATH")
    return text


def is_port(text):
    return 1 <= int(text.rpartition(":")[2]) <= 65535


def address(text, port):
    """The address of an endpoint, with this port if it has none."""
    if text.startswith("unix:"):
        return text
    if re.fullmatch(r"\[[^\]]*\]", text) or ":" not in text:
        text = f"{text}:{port}"
    if not re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):\d+", text) or not is_port(text):
        raise Untranslatable(f"{text}: no address of an endpoint")
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


def is_host(text, is_wildcard_allowed=True):
    """Whether it is a name as Evener takes them: exact, or `*.` before a name."""
    name = text[2:] if is_wildcard_allowed and text.startswith("*.") else text
    return len(text) <= 253 and bool(re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]", name))


def is_authority(text):
    """Whether a Host header may say it."""
    return len(text) <= 255 and bool(re.fullmatch(r"([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?", text))


def is_header(name):
    return bool(re.fullmatch(r"[A-Za-z0-9!#$%&'+.^_`|~-]+", name))


def encoded(text, signs):
    """Percent-encoded: these signs, and what is not visible ASCII."""
    return "".join(chr(byte) if 0x21 <= byte <= 0x7E and chr(byte) not in signs else f"%{byte:02X}"
                   for byte in text.encode())


def path(text, is_exact):
    """The path of a location, which nginx compares with the decoded path of a request."""
    if not text.startswith("/"):
        raise Untranslatable(f"location {text}: no request has such a path")
    segments = text.split("/")
    if any(segment in (".", "..") for segment in (segments if is_exact else segments[:-1])):
        raise Untranslatable(f"location {text}: no path has dot segments once it is normalised")
    if "*" in text:
        raise Untranslatable(f"location {text}: a * in a path has no equivalent")
    return encoded(text, "?#%")


def replacement(text):
    """What takes the place of a path, as `proxy_pass` says it."""
    segments = text.split("/")
    if (not text.startswith("/") or text.startswith("//") or re.search(r"[?#*{}\\]", text)
            or "." in segments or ".." in segments or re.search(r"%(?![0-9A-F]{2})|%(2D|2E|3[0-9]|[46][1-9A-F]|[57][0-9A]|5F|7E)", text)):
        raise Untranslatable(f"the path {text} of a proxy_pass: no plain path")
    return encoded(text, "")
