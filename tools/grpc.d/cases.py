"""What else a call has to meet through Evener: deadlines, cancellations, statuses, sizes, and its own errors."""

import json
import time
from concurrent.futures import ThreadPoolExecutor, wait

import grpc
from grpc import StatusCode

import service

MIB = 1 << 20
LIMIT = 20  # s
PATIENCE = 5  # s, in which a server must see what has happened
FIRST = 1 << 50
SECRET = bytes(range(256))


class Peer:
    """A channel, and the servers at the other end."""

    def __init__(self, channel, servers, first):
        self.channel, self.servers, self.call = channel, servers, first

    def metadata(self, *more):
        self.call += 1
        return (("x-request-id", str(self.call)), *more)

    def tell(self, name=service.SERVICE, timeout=LIMIT, more=(), **says):
        """A call that does what it is told; an iterator of its messages."""
        method = self.channel.unary_stream(f"/{name}/Told")
        return method(json.dumps(says).encode(), timeout=timeout, metadata=self.metadata(*more))

    def is_cancelled(self):
        """Waits until the server of the last call says so."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            words = [server.recorded().get(self.call) for server in self.servers]
            if ["begun", "cancelled"] in words:
                return True
            time.sleep(0.02)
        return words


def equal(got, wanted, what):
    assert got == wanted, f"{what}: {got!r:.300}, not {wanted!r:.300}"


def ending(rpc):
    """The messages that came, and the error at the end."""
    got = []
    try:
        for each in rpc:
            got.append(each)
    except grpc.RpcError as error:
        return got, error
    return got, None


def expect(rpc, code, details=None, messages=0):
    got, error = ending(rpc)
    equal((got, rpc.code()), ([b"%d" % index for index in range(messages)], code), "messages and status")
    if details is not None:
        equal(rpc.details(), details, "message")
    return error


def statuses(peer):
    """Every status passes with its message and its trailers, alone or after messages."""
    for messages in (0, 3):
        for code in StatusCode:
            details = f"{code.name}: 100 % für nichts\n~\t" if code is not StatusCode.OK else ""
            trailers = [["x-secret-bin", SECRET.hex()], ["x-secret-bin", b"again".hex()], ["x-word", b"plain".hex()]]
            rpc = peer.tell(messages=messages, status=code.value[0], details=details, trailers=trailers)
            expect(rpc, code, details, messages)
            after = [value for name, value in rpc.trailing_metadata() if name == "x-secret-bin"]
            equal(after, [SECRET, b"again"], f"trailers of {code}")
            equal(dict(rpc.trailing_metadata())["x-word"], "plain", f"trailers of {code}")


def unknown_method(peer):
    method = peer.channel.unary_stream(f"/{service.SERVICE}/Unheard")
    expect(method(b"", timeout=LIMIT), StatusCode.UNIMPLEMENTED, "Method not found!")


def no_route(peer):
    expect(peer.channel.unary_stream("/a.B/C")(b"", timeout=LIMIT), StatusCode.UNIMPLEMENTED, "no route for this path")


def no_endpoint(peer):
    rpc = peer.channel.unary_stream("/evener.Refused/C")(b"", timeout=LIMIT)
    expect(rpc, StatusCode.UNAVAILABLE, "endpoint refused the connection")


def all_down(peer):
    rpc = peer.channel.unary_stream("/evener.Down/C")(b"", timeout=LIMIT)
    expect(rpc, StatusCode.UNAVAILABLE, "every endpoint of this route is down")


def large_head(peer):
    rpc = peer.tell(more=(("x-large", "a" * 20_000),))
    expect(rpc, StatusCode.RESOURCE_EXHAUSTED)


def client_deadline(peer):
    """Before an answer, and amid one: the server is told."""
    for messages in (0, 2):
        expect(peer.tell(timeout=1, wait=LIMIT, messages=messages), StatusCode.DEADLINE_EXCEEDED, None, messages)
        equal(peer.is_cancelled(), True, "cancelled")


def own_timeouts(peer):
    """Those of a route, before an answer and amid one."""
    for messages, details in ((0, "endpoint did not answer in time"), (2, "response body stalled")):
        rpc = peer.tell(service.IMPATIENT, wait=LIMIT, messages=messages)
        expect(rpc, StatusCode.DEADLINE_EXCEEDED, details, messages)
        equal(peer.is_cancelled(), True, "cancelled")


def cancellation(peer):
    """Amid an answer, before one, and by the end of the connection."""
    rpc = peer.tell(wait=LIMIT, messages=1)
    next(rpc)
    rpc.cancel()
    equal((rpc.code(), peer.is_cancelled()), (StatusCode.CANCELLED, True), "cancelled amid an answer")
    rpc = peer.tell(wait=LIMIT)
    while not any(peer.call in server.recorded() for server in peer.servers):
        time.sleep(0.02)
    rpc.cancel()
    equal((rpc.code(), peer.is_cancelled()), (StatusCode.CANCELLED, True), "cancelled before")


def cut_upload(peer):
    """A client that cancels while it sends."""

    def requests():
        yield service.message(1, 1)
        time.sleep(LIMIT)

    method = peer.channel.stream_unary(service.path("Patient"))
    rpc = method.future(requests(), timeout=LIMIT, metadata=peer.metadata())
    while not any(peer.call in server.recorded() for server in peer.servers):
        time.sleep(0.02)
    rpc.cancel()
    equal(peer.is_cancelled(), True, "cancelled")


def large_messages(peer):
    for size in (4 * MIB, 16 * MIB, 0):
        message = (service.NOISE * 16)[:size]
        equal(peer.channel.unary_unary(service.path("Echo"))(message, timeout=LIMIT) == message, True, f"{size} bytes")


def large_streams(peer):
    """16 MiB each way, at the same time."""
    sent = [service.NOISE[index:] + service.NOISE[:index] for index in range(16)]
    method = peer.channel.stream_stream(service.path("Held"))
    equal(list(method(iter(sent), timeout=LIMIT, metadata=peer.metadata())) == sent, True, "16 messages of 1 MiB")


def compression(peer):
    message = b"again and again " * 10_000
    method = peer.channel.unary_unary(service.path("Echo"))
    equal(method(message, timeout=LIMIT, compression=grpc.Compression.Gzip), message, "a compressed message")


def slow_reader(peer):
    """Its stream is held back, and those beside it on its connection are not."""
    sent = [service.NOISE] * 16
    slow = peer.channel.stream_stream(service.path("Held"))(iter(sent), timeout=LIMIT, metadata=peer.metadata())
    first = next(slow)
    for _ in range(20):
        equal(peer.channel.unary_unary(service.path("Echo"))(b"quick", timeout=2), b"quick", "beside it")
    equal([first, *slow] == sent, True, "the slow one")


def many_at_once(peer):
    """More than an endpoint takes on one connection."""
    method = peer.channel.unary_unary(service.path("Echo"))
    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(lambda n: method(b"%d" % n, timeout=LIMIT), number) for number in range(400)]
        wait(running)
    equal([each.result() for each in running], [b"%d" % number for number in range(400)], "answers")
    streams = [peer.tell(wait=0.5, messages=1) for _ in range(120)]
    for each in streams:
        expect(each, StatusCode.OK, None, 1)


def among_cancelled(peer):
    """Calls beside others that are cancelled: those that were may still count for the endpoint, which refuses more."""

    def one(number):
        is_cancelled = number % 3 == 0
        rpc = peer.tell(wait=LIMIT if is_cancelled else 0.05, messages=2)
        if is_cancelled:
            next(rpc)
            rpc.cancel()
        else:
            expect(rpc, StatusCode.OK, None, 2)

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(one, range(400)))


CASES = {
    "every status, trailers": statuses,
    "unknown method": unknown_method,
    "no route": no_route,
    "endpoint that refuses": no_endpoint,
    "all endpoints down": all_down,
    "head that is too large": large_head,
    "deadline of the client": client_deadline,
    "timeouts of a route": own_timeouts,
    "cancellation": cancellation,
    "cancelled upload": cut_upload,
    "4 and 16 MiB at once": large_messages,
    "16 MiB in a stream": large_streams,
    "compression": compression,
    "slow reader": slow_reader,
    "many at once": many_at_once,
    "among cancelled ones": among_cancelled,
}


def run(targets, servers, authority):
    """Runs each case with each target, by name: those over TLS trust the authority. Returns a table's columns."""
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    trusted = grpc.ssl_channel_credentials(open(authority, "rb").read())
    columns = {}
    for turn, (name, target) in enumerate(targets.items()):
        secure = target.startswith("localhost")
        opened = (
            grpc.secure_channel(target, trusted, options=options)
            if secure
            else grpc.insecure_channel(target, options=options)
        )
        rows = columns.setdefault(name, {})
        with opened as channel:
            peer = Peer(channel, servers, FIRST + turn * 1000)
            for case, check in CASES.items():
                try:
                    check(peer)
                    rows[case] = "ok"
                except Exception as error:  # whatever the library raises
                    rows[case] = f"FAIL {type(error).__name__}: {str(error)[:300]}"
                print(f"{case}, {name}: {rows[case]}", flush=True)
    return columns
