"""The processes at both ends: servers that can be killed, and clients that say what has become of their calls."""

import json
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

import service

HERE = Path(__file__).parent
STREAMS = 16  # calls at a time, of each client
PATIENCE = 30  # s


class Server:
    """A gRPC server that can be killed and started again."""

    def __init__(self, folder, name, port, identity=None, program=None):
        """Over TLS with an identity; another program than server.py, if one is given."""
        self.name, self.port, self.kills, self.restarts = name, port, [], 0
        self.is_leaving = False
        self.address = f"127.0.0.1:{port}"
        self.endpoint = f"{'h2' if identity else 'h2c'}://{self.address}"
        self.records = folder / f"{name}.records"
        program = program or [sys.executable, "-B", str(HERE / "server.py"), name]
        self.words = [*program, str(port), str(self.records)]
        self.words += [identity.cert, identity.key] if identity else []
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.words, stdout=subprocess.PIPE)
        if self.process.stdout.readline() != b"ready\n":
            sys.exit(f"{self.name} did not start")

    def kill(self):
        """The time of a kill is between the two that are noted."""
        before = time.time()
        self.process.kill()
        self.process.wait()
        self.kills.append((before, time.time()))

    def restart(self):
        """In order: what it has begun ends well."""
        self.is_leaving = True
        self.end()
        self.start()
        self.is_leaving = False
        self.restarts += 1

    def end(self):
        """It says that it is not serving before it stops."""
        self.process.terminate()
        self.process.wait(PATIENCE)

    def recorded(self):
        """What has become of each call that has reached it: words in their order."""
        found = defaultdict(list)
        if not self.records.exists():
            return found
        for line in self.records.read_text().splitlines():
            what, call = line.split()
            # Evener gives a number of its own to calls without one.
            if call.isdecimal():
                found[int(call)].append(what)
        return found


class Client:
    """A process that makes calls, and what it says about them."""

    def __init__(self, target, first, count, authority=None):
        self.counts, self.failed, self.is_done = Counter(), [], False
        words = [sys.executable, "-B", str(HERE / "client.py"), target, str(first), str(count), str(STREAMS)]
        words += [authority] if authority else []
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self):
        for line in self.process.stdout:
            said = json.loads(line)
            if "counts" in said:
                self.counts = Counter(said["counts"])
            else:
                self.failed.append(said)
        self.is_done = self.process.wait() == 0

    def ended(self):
        """How many calls."""
        return sum(self.counts[kind] for kind in service.KINDS) + len(self.failed)
