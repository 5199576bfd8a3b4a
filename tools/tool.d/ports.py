"""Ports for what a tool runs."""

import random
import socket

# Below the range of ephemeral ports, since outgoing connections may occupy those.
RANGE = range(15_000, 32_000)


def free_ports():
    """Free ports, in no order: another run beside this one looks for its own. A port is not free if somebody listens at it,
    by TCP or UDP and at any address, not even if those who listen would share it (SO_REUSEPORT)."""
    for port in random.sample(RANGE, len(RANGE)):
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
            # What is left of closed connections (TIME_WAIT) is in nobody's way.
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                stream.bind(("", port))
                datagram.bind(("", port))
            except OSError:
                continue
        yield port
    raise SystemExit(f"no free port from {RANGE[0]} to {RANGE[-1]}")


FREE = free_ports()


def free_port():
    """A free port, a different one each time."""
    return next(FREE)
