"""The cases: what each client does with each origin, and the expected result."""

import hashlib
import re
import subprocess
from pathlib import Path

from clients import Request

SMALL = b"hello world!\n"
LARGE = b"".join(b"%d\n" % number for number in range(200_000))[: 1 << 20]
UPLOAD = LARGE[:300_000]


def small(client):
    expect_small(client.request(Request("GET", "/small")))


def large(client):
    answer = client.request(Request("GET", "/large"))
    equal(answer.status, 200, "status")
    equal(digest(answer.body), digest(LARGE), "digest of the body")


def head(client):
    answer = client.request(Request("HEAD", "/large"))
    equal(answer.status, 200, "status")
    equal(answer.headers.get("content-length"), str(len(LARGE)), "length announced")
    equal(answer.body, b"", "body")
    small(client)


def post(client):
    expect_taken(client.request(Request("POST", "/echo", body=UPLOAD)))


def post_nothing(client):
    expect_taken(client.request(Request("POST", "/echo", body=b"")), b"")


def at_once(client):
    """Many requests at the same time on one connection."""
    asked = [Request("GET", "/small"), Request("POST", "/echo", body=UPLOAD), Request("GET", "/large")] * 20
    answers = client.at_once(asked)
    for request, answer in zip(asked, answers, strict=True):
        if request.method == "POST":
            expect_taken(answer)
        else:
            equal(digest(answer.body), digest(LARGE if request.path == "/large" else SMALL), "digest")
    equal(client.connections, 1, "connections")


def long_fields(client):
    """More fields than a frame takes."""
    fields = {f"x-long-{number}": str(number % 10) * 500 for number in range(40)}
    expect_small(client.request(Request("GET", "/small", headers=fields)))


def missing(client):
    equal(client.request(Request("GET", "/missing")).status, 404, "status")
    small(client)


def keep_alive(client):
    asked = [
        Request("GET", "/small"),
        Request("POST", "/echo", body=UPLOAD),
        Request("GET", "/missing"),
        Request("GET", "/large"),
        Request("HEAD", "/small"),
        Request("GET", "/small"),
    ]
    answers, reconnects = client.several(asked)
    equal([answer.status for answer in answers], [200, 200, 404, 200, 200, 200], "statuses")
    expect_taken(answers[1])
    expect_small(answers[-1])
    # HTTP/1.0 has no chunks: a response without a length ends with its connection.
    unmeasured = sum("content-length" not in answer.headers for answer in answers[:-1])
    wanted = client.ends_after_head + (unmeasured if client.http_1_0 else 0)
    equal(reconnects, wanted, "new connections after the first")


def chunked(client):
    answer = client.request(Request("GET", "/chunked"))
    equal(answer.status, 200, "status")
    coding = "chunked" if client.has_chunks else None
    equal(answer.headers.get("transfer-encoding"), coding, "transfer coding")
    equal(digest(answer.body), digest(LARGE), "digest of the body")


def not_modified(client):
    first = client.request(Request("GET", "/small")).headers
    conditions = [("If-None-Match", "etag"), ("If-Modified-Since", "last-modified")]
    asked = [{ask: first[known]} for ask, known in conditions if known in first]
    assert asked, "neither ETag nor Last-Modified"
    for condition in asked:
        answer = client.request(Request("GET", "/small", headers=condition))
        equal((answer.status, answer.body), (304, b""), f"answer to {condition}")
    small(client)


def chunked_upload(client):
    expect_taken(client.request(Request("POST", "/echo", body=UPLOAD, chunked=True)))
    small(client)


def expect_continue(client):
    answer = client.request(Request("POST", "/echo", body=UPLOAD, expect=True))
    equal(answer.interim, [100], "interim responses")
    expect_taken(answer)
    small(client)


def request_trailers(client):
    asked = Request("POST", "/trailers", {"Trailer": "X-Sum"}, UPLOAD, True, {"X-Sum": "cafe"})
    answer = client.request(asked)
    equal((answer.status, answer.body), (200, b"done\n"), "answer")
    equal(answer.headers.get("x-seen"), "cafe", "trailer the origin saw")
    small(client)


def answer_trailers(client):
    answer = client.request(Request("GET", "/trailers", {"TE": "trailers", "Connection": "TE"}))
    equal((answer.status, answer.body), (200, b"done\n"), "answer")
    equal(answer.trailers, {"x-sum": "f00d"}, "trailers")
    small(client)


def upgrade(client):
    equal(digest(client.upgrade(LARGE[:50_000])), digest(LARGE[:50_000]), "digest of the echo")


def websocket(client):
    messages = ["hello", LARGE[:100_000], ""]
    answers, code = client.websocket(messages)
    equal([len(answer) for answer in answers], [len(message) for message in messages], "lengths")
    equal(answers, messages, "messages")
    equal(code, 1000, "close code")


# For every pair.
ALWAYS = {
    "GET": small,
    "GET 1 MiB": large,
    "HEAD": head,
    "POST": post,
    "POST nothing": post_nothing,
    "404": missing,
    "keep-alive": keep_alive,
    "chunked answer": chunked,
    "304": not_modified,
}
# For every client that speaks HTTP/2.
HTTP2 = {"at once": at_once, "long fields": long_fields}
# Where both the client and the origin have the name in `can`.
IF_BOTH_CAN = {
    "chunked upload": chunked_upload,
    "100-continue": expect_continue,
    "request trailers": request_trailers,
    "answer trailers": answer_trailers,
    "upgrade": upgrade,
    "websocket": websocket,
}


def expect_small(answer):
    equal((answer.status, answer.body), (200, SMALL), "answer")


def expect_taken(answer, sent=UPLOAD):
    """The origin returns the length and the digest of what it received; nginx only the length."""
    equal(answer.status, 200, "status")
    words = answer.body.decode().split()
    equal(words, [str(len(sent)), digest(sent)][: max(1, len(words))], "what the origin received")


def digest(data):
    return hashlib.sha256(data).hexdigest()


def equal(got, wanted, what):
    assert got == wanted, f"{what}: {got!r:.300}, not {wanted!r:.300}"


# Load: many connections, for a second each.

LUA = Path(__file__).parent / "post.lua"


def wrk(connections, path, *options):
    def run(base):
        command = ["wrk", "-t1", f"-c{connections}", "-d1s", "--timeout", "10s", *options]
        out = output([*command, base + path])
        assert not re.search("Socket errors|Non-2xx", out), out
        assert re.search(r"[1-9]\d* requests in", out), out

    return run


def ab(connections, path, length, *options):
    def run(base):
        # One second or 3000 requests, whichever comes first. -r: count errors instead of stopping.
        command = ["ab", "-q", "-r", "-s", "10", "-c", str(connections), "-t", "1", "-n", "3000"]
        out = output([*command, *options, base + path])
        told = dict(re.findall(r"^([\w -]+): +(\d+)", out, re.MULTILINE))
        assert int(told["Complete requests"]) > 0 and told["Failed requests"] == "0", out
        assert "Non-2xx responses" not in told, out
        assert length is None or told["Document Length"] == str(length), out

    return run


def output(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def loads(upload):
    """The cases of wrk and of ab, which uses HTTP/1.0; `upload` is a file to send."""
    send = ["-p", str(upload), "-T", "text/plain"]
    return {
        "wrk": {
            "GET": wrk(32, "/small"),
            "GET 1 MiB": wrk(8, "/large"),
            "chunked answer": wrk(8, "/chunked"),
            "POST": wrk(16, "/echo", "-s", str(LUA)),
        },
        "ab": {
            "GET": ab(16, "/small", len(SMALL)),
            "keep-alive": ab(16, "/small", len(SMALL), "-k"),
            "HEAD": ab(16, "/small", None, "-k", "-i"),
            "chunked answer": ab(8, "/chunked", len(LARGE)),
            "POST": ab(16, "/echo", None, "-k", *send),
        },
    }
