"""One HTTP/2 connection with a large body on one stream, and small requests on others: `stream.py WHAT PORT BYTES WINDOW`.

WHAT is `down`, `up`, or `alone` for a second of small requests without a body. Says `ready`, and in the end how long
each small request took and how long the body did, in seconds. WINDOW is what the client lets be on its way of the
body of an answer, in bytes; credit is returned once half of it has come.
"""

import json
import os
import select
import socket
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from frames import (  # noqa: E402: on the path only now
    ACK, DATA, END_STREAM, GOAWAY, HEADERS, PAYLOAD_MAX, PING, PREFACE, RST_STREAM, SETTINGS, WINDOW_INITIAL,
    WINDOW_MAX, WINDOW_UPDATE, frame, get, literal, post, settings, window_update,
)

PER_SECOND, ALONE_SECONDS, TIMEOUT_SECONDS = 400, 1.0, 60
SMALL, LARGE = b"/good", b"/large"
# The stream with the body.
BODY = 1
# How much of an upload waits in the kernel: what is sent next is not to wait for more.
TCP_NOTSENT_LOWAT, UNSENT_BYTES = 25, 64 * 1024
FILLER = bytes(PAYLOAD_MAX)


class Client:
    """The connection."""

    def __init__(self, port, what, body_bytes, window):
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        self.socket.setblocking(False)
        self.what, self.window = what, window
        self.out = bytearray(PREFACE + settings(window=window) + window_update(0, WINDOW_MAX - WINDOW_INITIAL))
        self.room, self.held = bytearray(1024 * 1024), 0
        # What is still to be received or sent of the body; what may be; what has come and was not credited.
        self.left, self.uncredited = body_bytes if what != "alone" else 0, 0
        self.credit = {0: WINDOW_INITIAL, BODY: WINDOW_INITIAL}
        self.next_stream, self.begun, self.took = BODY + 2, {}, []
        self.is_done = what == "alone"

    def start(self, body_bytes):
        if self.what == "down":
            self.out += get(BODY, LARGE + b"?bytes=%d" % body_bytes)
        elif self.what == "up":
            self.out += post(BODY, LARGE, literal(28, b"%d" % body_bytes))

    def ask(self):
        """Another small request."""
        self.begun[self.next_stream] = time.monotonic()
        self.out += get(self.next_stream, SMALL)
        self.next_stream += 2

    def upload(self):
        """Adds to what is to be sent, as far as there is credit, if nothing is."""
        while self.what == "up" and self.left and len(self.out) < UNSENT_BYTES:
            count = min(self.left, PAYLOAD_MAX, *self.credit.values())
            if count <= 0:
                return
            self.left -= count
            for window in self.credit:
                self.credit[window] -= count
            self.out += frame(DATA, 0 if self.left else END_STREAM, BODY, FILLER[:count])

    def write(self):
        try:
            del self.out[:self.socket.send(self.out)]
        except BlockingIOError:
            pass

    def read(self):
        try:
            count = self.socket.recv_into(memoryview(self.room)[self.held:])
        except BlockingIOError:
            return
        if not count:
            raise SystemExit("closed")
        now, end, at = time.monotonic(), self.held + count, 0
        view = memoryview(self.room)
        while at + 9 <= end:
            length = int.from_bytes(view[at:at + 3], "big")
            if at + 9 + length > end:
                break
            stream = int.from_bytes(view[at + 5:at + 9], "big")
            self.frame(self.room[at + 3], self.room[at + 4], stream, view[at + 9:at + 9 + length], now)
            at += 9 + length
        self.held = end - at
        self.room[:self.held] = self.room[at:end]

    def frame(self, kind, flags, stream, payload, now):
        if kind == DATA and stream == BODY:
            self.left -= len(payload) if self.what == "down" else 0
            self.uncredited += len(payload)
            if self.uncredited >= self.window // 2:
                self.out += window_update(BODY, self.uncredited) + window_update(0, self.uncredited)
                self.uncredited = 0
        elif kind == WINDOW_UPDATE and stream in self.credit:
            self.credit[stream] += int.from_bytes(payload, "big")
        elif kind in (SETTINGS, PING) and not flags & ACK:
            self.out += frame(kind, ACK, 0, bytes(payload) if kind == PING else b"")
        elif kind in (GOAWAY, RST_STREAM):
            raise SystemExit(f"{'GOAWAY' if kind == GOAWAY else 'reset'} {stream}: {bytes(payload)}")
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            if stream == BODY:
                self.is_done = not self.left
            else:
                self.took.append(now - self.begun.pop(stream))

    def run(self, body_bytes):
        start = due = time.monotonic()
        self.start(body_bytes)
        ended = None
        while not ended or self.begun:
            now = time.monotonic()
            if not ended and self.is_done and (self.what != "alone" or now > start + ALONE_SECONDS):
                ended = now
            while not ended and due <= now:
                self.ask()
                due += 1 / PER_SECOND
            self.upload()
            if now > start + TIMEOUT_SECONDS:
                raise SystemExit(f"{self.left} bytes and {len(self.begun)} requests left after {TIMEOUT_SECONDS} s")
            waits = [self.socket] if self.out else []
            select.select([self.socket], waits, [], max(0, min(due - now, 0.01)))
            if self.out:
                self.write()
            self.read()
        return {"small": self.took, "seconds": ended - start}


def main():
    what, *numbers = sys.argv[1:]
    port, body_bytes, window = map(int, numbers)
    client = Client(port, what, body_bytes, window)
    print("ready", flush=True)
    print(json.dumps(client.run(body_bytes)), flush=True)


if __name__ == "__main__":
    main()
