"""An endpoint that breaks on demand: `endpoint.py PORT MODE`. SIGUSR1 breaks it, SIGUSR2 mends it.

Modes: `500` answers with that status, `reset` resets each connection amid its answer, `close` accepts connections and
closes them, `flap` refuses and serves in turns of 100 ms and resets its connections each time. `kill` and `freeze`
break nothing here: signals do. Says `ready` once it listens.
"""

import asyncio
import signal
import socket
import struct
import sys

BODY = b"x" * 1000
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 5\r\n\r\noops\n"
FLAP_SECONDS = 0.1

state = {"mode": "", "broken": False}
connections = set()


def reset(transport):
    """Closes with a reset."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class Connection(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.held = transport, b""
        connections.add(transport)
        if state["broken"] and state["mode"] == "close":
            transport.close()

    def connection_lost(self, _):
        connections.discard(self.transport)

    def data_received(self, data):
        self.held += data
        while b"\r\n\r\n" in self.held:
            _, self.held = self.held.split(b"\r\n\r\n", 1)
            self.answer()

    def answer(self):
        mode = state["mode"] if state["broken"] else ""
        if mode == "500":
            self.transport.write(ERROR)
        elif mode == "reset":
            self.transport.write(ANSWER[:len(ANSWER) // 2])
            # What has been written must not be lost with the connection.
            asyncio.get_running_loop().call_later(0.002, reset, self.transport)
        elif mode == "close":
            self.transport.close()
        else:
            self.transport.write(ANSWER)


async def main(port, mode):
    loop = asyncio.get_running_loop()
    state["mode"] = mode
    loop.add_signal_handler(signal.SIGUSR1, state.update, {"broken": True})
    loop.add_signal_handler(signal.SIGUSR2, state.update, {"broken": False})

    async def listen():
        return await loop.create_server(Connection, "127.0.0.1", port, reuse_address=True, backlog=1024)

    server = await listen()
    print("ready", flush=True)
    while True:
        await asyncio.sleep(FLAP_SECONDS)
        if mode == "flap" and state["broken"]:
            server.close()
            for transport in list(connections):
                reset(transport)
            await asyncio.sleep(FLAP_SECONDS)
            server = await listen()


if __name__ == "__main__":
    try:
        asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
    except KeyboardInterrupt:
        pass
