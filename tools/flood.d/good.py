"""Clients that are to be served whatever else goes on: `good.py h1|h2 PORT`, until SIGTERM. Says `ready` first.

Requests go out at a fixed rate, in turns over a few kept connections. Says then how long each took, as pairs of
times in seconds: when it began, and how long until its answer was whole. A failure has a text instead.
"""

import json
import os
import signal
import socket
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from frames import (  # noqa: E402: on the path only now
    ACK, DATA, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, frame, get, hello,
)

PER_SECOND, CONNECTIONS = 250, 4
TIMEOUT_SECONDS = 10


class Failed(Exception):
    """A request was not served."""


class H1:
    """A connection of HTTP/1.1."""

    REQUEST = b"GET /good HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS)

    def exchange(self):
        self.socket.sendall(self.REQUEST)
        answer = b""
        while not answer.endswith(b"/good\n"):
            part = self.socket.recv(4096)
            if not part:
                raise Failed("closed before the end of an answer")
            answer += part
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise Failed(f"answer: {answer[:40]}")


class H2:
    """A connection of HTTP/2, one request after the other."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(hello())
        self.stream, self.held = 1, b""

    def exchange(self):
        self.socket.sendall(get(self.stream, b"/good"))
        while not self.take():
            part = self.socket.recv(65536)
            if not part:
                raise Failed("closed before the end of an answer")
            self.held += part
        self.stream += 2

    def take(self):
        """Takes the frames that have come; says whether the answer ended with them."""
        ended, held = False, self.held
        while len(held) >= 9 and len(held) >= 9 + int.from_bytes(held[:3], "big"):
            length, kind, flags = int.from_bytes(held[:3], "big"), held[3], held[4]
            payload, held = held[9:9 + length], held[9 + length:]
            if kind in (GOAWAY, RST_STREAM):
                raise Failed(f"{'GOAWAY' if kind == GOAWAY else 'reset'}: {payload}")
            if kind in (SETTINGS, PING) and not flags & ACK:
                self.socket.sendall(frame(kind, ACK, 0, payload if kind == PING else b""))
            # 200 is the eighth entry of the static table; the size of the dynamic one may come before it.
            if kind == HEADERS and payload.lstrip(b"\x20")[:1] != b"\x88":
                raise Failed(f"answer: {payload[:20]}")
            ended |= kind in (DATA, HEADERS) and bool(flags & END_STREAM)
        self.held = held
        return ended


class Over(BaseException):
    """SIGTERM has come."""


def end(*_):
    raise Over


def main():
    make = {"h1": H1, "h2": H2}[sys.argv[1]]
    port = int(sys.argv[2])
    signal.signal(signal.SIGTERM, end)
    taken = []
    try:
        print("ready", flush=True)
        clients = [make(port) for _ in range(CONNECTIONS)]
        due = time.monotonic()
        number = 0
        while True:
            number += 1
            due += 1 / PER_SECOND
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            # One that had to wait for the one before it was due all the same.
            start = time.monotonic() if wait > 0 else due
            at = number % CONNECTIONS
            try:
                clients[at] = clients[at] or make(port)
                clients[at].exchange()
                taken.append((start, time.monotonic() - start))
            except (OSError, Failed) as error:
                taken.append((start, f"{type(error).__name__}: {error}"))
                clients[at] = None
    except Over:
        print(json.dumps(taken), flush=True)


if __name__ == "__main__":
    main()
