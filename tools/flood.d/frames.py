"""HTTP/2 on the wire, as bytes prepared in advance (RFC 9113, RFC 7541)."""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# RFC 9113 §6 and §7.
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
ACK, END_STREAM, END_HEADERS, PADDED = 1, 1, 4, 8
CANCEL = 8
INITIAL_WINDOW_SIZE = 4
WINDOW_MAX, WINDOW_INITIAL = 2**31 - 1, 65_535
PAYLOAD_MAX = 16_384


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def settings(**values):
    """By identifier: `settings(window=0)`."""
    numbers = {"table": 1, "streams": 3, "window": INITIAL_WINDOW_SIZE}
    entries = (numbers[name].to_bytes(2, "big") + value.to_bytes(4, "big") for name, value in values.items())
    return frame(SETTINGS, 0, 0, b"".join(entries))


def window_update(stream, more):
    return frame(WINDOW_UPDATE, 0, stream, more.to_bytes(4, "big"))


def reset(stream, code=CANCEL):
    return frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def number(prefix_bits, pattern, value):
    """An integer of HPACK behind the bits of `pattern` (RFC 7541 §5.1)."""
    most = 2**prefix_bits - 1
    if value < most:
        return bytes([pattern | value])
    encoded, value = [pattern | most], value - most
    while value >= 128:
        encoded.append(value % 128 + 128)
        value //= 128
    return bytes([*encoded, value])


def string(text):
    return number(7, 0, len(text)) + text


def literal(name, value):
    """A field that no table keeps. A name is bytes, or its index in a table."""
    return number(4, 0, name) + string(value) if isinstance(name, int) else b"\0" + string(name) + string(value)


def kept(name, value):
    """A field that becomes the first entry of the dynamic table."""
    return number(6, 64, name) + string(value) if isinstance(name, int) else b"\x40" + string(name) + string(value)


def indexed(index):
    return number(7, 128, index)


def request(path, method=b"GET", fields=b""):
    """The header block of a request that needs no table."""
    methods = {b"GET": indexed(2), b"POST": indexed(3)}
    return methods[method] + indexed(6) + literal(1, b"localhost") + literal(4, path) + fields


def get(stream, path, fields=b""):
    return frame(HEADERS, END_STREAM | END_HEADERS, stream, request(path, b"GET", fields))


def post(stream, path, fields=b""):
    """Its head: the body is to follow."""
    return frame(HEADERS, END_HEADERS, stream, request(path, b"POST", fields))


def hello(window=WINDOW_MAX):
    """The beginning of a connection, with all the credit for answers that can be given."""
    return PREFACE + settings(window=window) + window_update(0, WINDOW_MAX - WINDOW_INITIAL)
