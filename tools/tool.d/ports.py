"""Ports for what a tool runs."""

import random
import socket

# Below the range of ephemeral ports, since outgoing connections may occupy those.
RANGE = range(15_000, 32_000)


def free_ports():
    """Free ports of 127.0.0.1, in no order: another run beside this one looks for its own. A port at which somebody listens
    is not free, not even if those who listen would share it (SO_REUSEPORT)."""
    for port in random.sample(RANGE, len(RANGE)):
        with socket.socket() as probe:
            # What is left of closed connections (TIME_WAIT) is in nobody's way.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port
    raise SystemExit(f"no free port of 127.0.0.1 from {RANGE[0]} to {RANGE[-1]}")


FREE = free_ports()


def free_port():
    """One of them; another one each time."""
    return next(FREE)
