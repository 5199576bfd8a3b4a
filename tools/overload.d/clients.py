"""Clients that send at fixed times, whether or not earlier requests have been answered."""

import asyncio
import time

CONNECTIONS = 500


class Clients:
    """Connections to the balancer, each with one request at a time, and what came of these."""

    def __init__(self, port, path="/"):
        self.port, self.idle, self.open = port, [], 0
        self.request = f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        self.served, self.refused, self.failed, self.late = [], [], 0, 0
        self.bodies = set()

    async def send(self):
        if not self.idle and self.open >= CONNECTIONS:
            self.late += 1
            return
        connection = self.idle.pop() if self.idle else None
        began = time.perf_counter()
        try:
            if connection is None:
                self.open += 1
                connection = await asyncio.open_connection("127.0.0.1", self.port)
            reader, writer = connection
            writer.write(self.request)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
            self.open -= 1
            self.failed += 1
            return
        took = time.perf_counter() - began
        status = int(head[9:12])
        if status == 200:
            self.served.append(took)
            self.bodies.add(body)
        elif status == 503 and b"retry-after:" in head.lower():
            self.refused.append(took)
        else:
            self.failed += 1
        self.idle.append(connection)

    def close(self):
        for _, writer in self.idle:
            writer.close()

    async def offer(self, rate, seconds):
        """Sends at fixed times."""
        begin, tasks = time.perf_counter(), set()
        for nth in range(int(rate * seconds)):
            wait = begin + nth / rate - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            task = asyncio.ensure_future(self.send())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        if tasks:
            await asyncio.wait(tasks)
        return time.perf_counter() - begin

    async def hurry(self, seconds):
        """Sends from every connection, one request after the other."""
        end = time.perf_counter() + seconds

        async def one():
            while time.perf_counter() < end:
                await self.send()
                if not self.idle:
                    return
                await asyncio.sleep(0)

        await asyncio.gather(*(one() for _ in range(CONNECTIONS)))


def quantile(times, share):
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


async def listens(port):
    """Waits until somebody listens there."""
    for _ in range(100):
        try:
            return (await asyncio.open_connection("127.0.0.1", port))[1].close()
        except OSError:
            await asyncio.sleep(0.05)
