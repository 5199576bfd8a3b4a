"""TLS handshakes that go nowhere, beside clients that are served.

2000 connections are held open that say nothing, or send a ClientHello at a byte per second, and 200 more
each second send something that is not a handshake: noise, plain HTTP, records that are too long, a
ClientHello with noise or nothing behind it. Measured alternately without and with them: wrk on kept
connections, and new clients with a full handshake and a request each. Fails if a good client fails, if
its p99 at least doubles, or if the memory does not come back after the flood.
"""

import asyncio
import os
import pathlib
import random
import re
import socket
import ssl
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(HERE, "..", folder) for folder in ("bench.d", "tls.d", "tool.d")]

import processes  # noqa: E402: on the path only now
from pki import Authority  # noqa: E402
from ports import free_port  # noqa: E402
from processes import Child  # noqa: E402

HELD, GARBAGE_PER_SECOND, ROUNDS = 2000, 200, 3
WRK_CONNECTIONS, NEW_PER_SECOND = 16, 20
WORST = 2.0  # times the p99 without a flood
# What the allocator may keep, in KiB.
KEPT = 4096
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


# The flood: a process of its own, `handshakes.py PORT`, until it is ended.


def hello():
    """A ClientHello in its record."""
    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


async def hold(port, number):
    """Says nothing, or too little, and comes back when it is turned away."""
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            if number % 2:
                await reader.read()
            else:
                for byte in hello():
                    if reader.at_eof():
                        break
                    writer.write(bytes([byte]))
                    await asyncio.sleep(1)
            writer.close()
        except OSError:
            pass
        await asyncio.sleep(random.random())


async def garbage(port):
    """One connection with something that is not a handshake."""
    kinds = (
        lambda: random.randbytes(600),
        lambda: b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        lambda: b"\x16\x03\x01\xff\xff" + random.randbytes(2000),
        lambda: b"\x16\x03\x01\x00\x00" * 40,
        lambda: hello() + random.randbytes(600),
        hello,
    )
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(random.choice(kinds)())
        await asyncio.sleep(0.2)
        writer.close()
    except OSError:
        pass


async def generate(port):
    processes.raise_descriptors()
    tasks = []
    for number in range(HELD):
        tasks.append(asyncio.create_task(hold(port, number)))
        if number % 100 == 99:
            await asyncio.sleep(0.05)
    while True:
        tasks = [task for task in tasks if not task.done()]
        tasks += [asyncio.create_task(garbage(port)) for _ in range(GARBAGE_PER_SECOND // 20)]
        await asyncio.sleep(0.05)


# The good clients.


def wrk(port, seconds):
    """Latencies on kept connections in milliseconds: p50 and p99."""
    command = ["wrk", "-t1", f"-c{WRK_CONNECTIONS}", f"-d{seconds}s", "--latency", f"https://localhost:{port}/"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def judged(process, faults):
    said = process.communicate(timeout=120)[0]
    faults += [f"wrk: {line.strip()}" for line in said.splitlines() if re.search("Socket errors|Non-2xx", line)]
    scale = {"us": 0.001, "ms": 1, "s": 1000}

    def latency(percent):
        value, unit = re.search(rf"^ +{percent}% +([\d.]+)(us|ms|s)$", said, re.MULTILINE).groups()
        return float(value) * scale[unit]

    return latency(50), latency(99)


def new_clients(port, authority, seconds, faults):
    """The same of new clients, from connect to the end of the answer."""
    trust = ssl.create_default_context(cafile=authority)
    times = []
    begun = time.monotonic()
    for number in range(seconds * NEW_PER_SECOND):
        time.sleep(max(0, begun + number / NEW_PER_SECOND - time.monotonic()))
        start = time.monotonic()
        try:
            with socket.create_connection(("127.0.0.1", port), 10) as tcp:
                with trust.wrap_socket(tcp, server_hostname="localhost") as tls:
                    tls.sendall(REQUEST)
                    answer = b"".join(iter(lambda: tls.recv(65536), b""))
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise ValueError(f"answer: {answer[:40]}")
            times.append((time.monotonic() - start) * 1000)
        except (OSError, ValueError) as error:
            faults.append(f"new client: {error}")
    times.sort()
    return (times[len(times) // 2], times[len(times) * 99 // 100]) if times else (0, 0)


def measure(port, authority, seconds, faults):
    """(p50, p99) of kept connections and of new clients, at the same time."""
    load = wrk(port, seconds)
    new = new_clients(port, authority, seconds, faults)
    return judged(load, faults), new


def memory(child):
    """Resident, in KiB."""
    status = pathlib.Path(f"/proc/{child.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def run(options, binary, folder, children):
    cores = sorted(os.sched_getaffinity(0))
    mine, others = {cores[0]}, set(cores[1:] or cores)
    os.sched_setaffinity(0, others)
    authority = Authority(folder, "authority")
    identity = authority.issue("localhost", ["localhost", "127.0.0.1"])
    port, origin = free_port(), free_port()

    def start(command, cores, name):
        child = Child([str(word) for word in command], cores, os.path.join(folder, name))
        children.append(child)
        return child

    start([binary, "origin", "--listen", f"127.0.0.1:{origin}"], others, "origin").wait_listening(origin)
    words = [binary, "--listen-tls", f"127.0.0.1:{port}", "--cert", identity.cert, "--key", identity.key]
    evener = start([*words, "--route", f"/=127.0.0.1:{origin}", "--threads", "1"], mine, "evener")
    evener.wait_listening(port)
    faults, rows = [], {"without": [], "with": []}
    measure(port, authority.cert, 2, faults)
    before = peak = memory(evener)
    print(f"{'':16} {'kept p50':>9} {'p99':>9} {'new p50':>9} {'p99':>9}   memory")
    for number in range(ROUNDS):
        for what in ("without", "with"):
            flood = None
            if what == "with":
                flood = start([sys.executable, __file__, port], others, "flood")
                time.sleep(4)
            kept, new = measure(port, authority.cert, options.seconds, faults)
            now = memory(evener)
            peak = max(peak, now)
            rows[what].append((kept[1], new[1]))
            print(f"{what + ' a flood':16}" + "".join(f"{value:7.2f} ms" for value in (*kept, *new)) + f"   {now} KiB", flush=True)
            if flood:
                flood.stop()
                time.sleep(2)
    time.sleep(12)  # longer than the time limit of a handshake
    measure(port, authority.cert, 2, faults)
    after = memory(evener)
    for at, what in enumerate(("kept connections", "new clients")):
        alone, flooded = (statistics.median(row[at] for row in rows[key]) for key in ("without", "with"))
        print(f"p99 of {what}: {alone:.2f} ms, with the flood {flooded:.2f} ms: {flooded / alone:.2f}×")
        if flooded >= WORST * alone:
            faults.append(f"the p99 of {what} has at least doubled")
    print(f"memory: {before} KiB, at most {peak} KiB with the flood, {after} KiB after it")
    if after > before + KEPT:
        faults.append(f"memory has grown by {after - before} KiB")
    return faults


if __name__ == "__main__":
    asyncio.run(generate(int(sys.argv[1])))
