"""The attackers of one attack: `attackers.py NAME PORT FRAMES_PER_SECOND BYTES_PER_SECOND`, until SIGTERM.

Says `ready` before they begin, and in the end what they did. They come back when they are closed, each a quarter of a second after it connected at the earliest.
"""

import json
import os
import select
import signal
import socket
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [HERE, os.path.join(HERE, "..", "bench.d")]

from attacks import count, find  # noqa: E402: on the path only now
from processes import raise_descriptors  # noqa: E402

RECONNECT_SECONDS = 0.25
PIECE_BYTES = 64 * 1024
# What they may send at once of what they may send in a second.
BURST = 0.05


class Connection:
    """One of them."""

    def __init__(self, swarm):
        self.swarm = swarm
        self.socket = None
        self.again_at = 0.0

    def open(self, now):
        self.again_at = now + RECONNECT_SECONDS
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.connect_ex(self.swarm.address)
        self.sent = 0
        self.mask = self.swarm.reads | select.EPOLLOUT
        self.swarm.epoll.register(self.socket, self.mask)
        self.swarm.open[self.socket.fileno()] = self
        self.swarm.counts["connections"] += 1

    def close(self, why):
        del self.swarm.open[self.socket.fileno()]
        self.socket.close()
        self.swarm.counts[why] += 1
        self.swarm.closed.append(self)
        self.socket = None

    def wants(self, more):
        mask = self.swarm.reads | more
        if self.socket and mask != self.mask:
            self.mask = mask
            self.swarm.epoll.modify(self.socket, mask)

    def ready(self, events):
        try:
            if events & select.EPOLLIN:
                if not self.socket.recv_into(self.swarm.scratch):
                    return self.close("ended")
            elif events & ~select.EPOLLOUT:
                return self.close("ended")
            if events & select.EPOLLOUT:
                self.send()
        except BlockingIOError:
            pass
        except OSError:
            self.close("ended")

    def send(self):
        swarm = self.swarm
        if self.sent < len(swarm.opening):
            self.sent += self.socket.send(swarm.opening[self.sent:])
            return
        at = self.sent - len(swarm.opening)
        if not swarm.body:
            # All has been said: it stays until it is closed.
            self.wants(0)
        elif at >= len(swarm.body) and not swarm.attack.again:
            self.close("used up")
        elif swarm.allowance <= 0:
            self.wants(0)
            swarm.paused.append(self)
        else:
            at %= len(swarm.body)
            count = self.socket.send(swarm.body[at:at + PIECE_BYTES])
            self.sent += count
            swarm.allowance -= count
            swarm.counts["bytes"] += count


class Swarm:
    """All of them."""

    def __init__(self, attack, port, frames_per_second, bytes_per_second):
        self.attack = attack
        self.address = ("127.0.0.1", port)
        self.opening, self.body = memoryview(attack.opening()), memoryview(attack.body())
        self.scratch = bytearray(1024 * 1024)
        self.reads = select.EPOLLRDHUP | (select.EPOLLIN if attack.reads else 0)
        self.epoll = select.epoll()
        self.open, self.paused = {}, []
        self.closed = [Connection(self) for _ in range(attack.connections)]
        self.counts = {"connections": 0, "ended": 0, "used up": 0, "bytes": 0}
        self.frame_bytes = len(self.body) / max(1, count(self.body))
        self.bytes_per_second = min(frames_per_second * self.frame_bytes, bytes_per_second)
        self.allowance = 0.0
        self.refilled = time.monotonic()
        self.is_over = False

    def refill(self, now):
        rate = self.bytes_per_second
        self.allowance = min(self.allowance + (now - self.refilled) * rate, rate * BURST)
        self.refilled = now
        if self.allowance > 0:
            paused, self.paused = self.paused, []
            for connection in paused:
                connection.wants(select.EPOLLOUT)

    def reopen(self, now):
        closed, self.closed = self.closed, []
        for connection in closed:
            if connection.again_at <= now:
                connection.open(now)
            else:
                self.closed.append(connection)

    def run(self):
        while not self.is_over:
            now = time.monotonic()
            self.refill(now)
            self.reopen(now)
            for descriptor, events in self.epoll.poll(0.005):
                if descriptor in self.open:
                    self.open[descriptor].ready(events)


def main():
    raise_descriptors()
    name, *numbers = sys.argv[1:]
    swarm = Swarm(find(name), *map(int, numbers))

    def end(*_):
        swarm.is_over = True

    signal.signal(signal.SIGTERM, end)
    print("ready", flush=True)
    swarm.run()
    swarm.counts["frames"] = int(swarm.counts["bytes"] / swarm.frame_bytes) if swarm.frame_bytes else 0
    print(json.dumps(swarm.counts), flush=True)


if __name__ == "__main__":
    main()
