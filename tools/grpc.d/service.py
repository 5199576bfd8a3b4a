"""What the calls of tools/grpc say, and what must come back: shared by its servers and clients.

A call has a number, which decides its messages, its answer and its status. Each of the four kinds is a method of
its own, and messages are bytes: nothing is generated from a .proto.
"""

import hashlib
import random
import struct

SERVICE = "evener.Test"
IMPATIENT = "evener.Impatient"  # the same, on a route with short timeouts
KINDS = ("Unary", "ServerStream", "ClientStream", "Bidi")
HELD = "Held"  # a Bidi that lives as long as its client wants

HEAD = struct.Struct(">QI")
NOISE = random.Random(14).randbytes(1 << 20)
LARGE, LARGE_EVERY = 60_000, 40

# One call in so many ends with a status that is not OK, with a text that gRPC has to percent-encode.
FAILING_EVERY = 10
DETAILS = "not today: 100 % für nichts\n~"


def path(kind):
    return f"/{SERVICE}/{kind}"


def message(call, index):
    """The bytes of a message: of very different sizes, none of them like another."""
    mixed = (call * 7919 + index * 104_729) & 0xFFFFFFFF
    size = LARGE if mixed % LARGE_EVERY == 0 else mixed % 2000
    start = mixed % (len(NOISE) - LARGE)
    return HEAD.pack(call, index) + NOISE[start : start + size]


def count(call):
    """How many messages a stream of this call has: none now and then."""
    return (call * 31) % 9


def number(request):
    """The number of the call that a message belongs to."""
    return HEAD.unpack_from(request)[0]


def fails(call):
    return call % FAILING_EVERY == 3


def digest(messages):
    """Of messages and their borders."""
    sum_ = hashlib.sha256()
    for each in messages:
        sum_.update(len(each).to_bytes(4, "big"))
        sum_.update(each)
    return sum_.digest()


def token(call):
    """What goes in binary metadata, in both directions."""
    return hashlib.sha256(b"%d" % call).digest()[: call % 33]


def sent(kind, call):
    """The messages of the client."""
    if kind in ("Unary", "ServerStream"):
        return [message(call, 0)]
    return [message(call, index) for index in range(count(call))]


def answered(kind, call):
    """The messages of the server, where it fails only those before that."""
    if kind == "Unary":
        return [] if fails(call) else sent(kind, call)
    if kind == "ClientStream":
        return [] if fails(call) else [digest(sent(kind, call))]
    return [message(call, index) for index in range(count(call))]
