"""An Evener with as many workers as are asked for, and what it says of itself."""

import http.client
import socket
import subprocess
import time

from ports import free_port


class Balancer:
    """A process of its own, with an admin listener; ends with the block."""

    def __init__(self, program, threads, flags):
        self.port, self.admin = free_port(), free_port()
        words = [program, "--listen", f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{self.admin}",
                 "--threads", str(threads), "--log-level", "error", *flags]
        self.process = subprocess.Popen(words)

    def __enter__(self):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                time.sleep(0.05)
        self.__exit__()
        raise SystemExit("Evener does not listen")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def metrics(self):
        """What each metric says, over all its samples."""
        admin = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=10)
        admin.request("GET", "/metrics")
        totals = {}
        for line in admin.getresponse().read().decode().splitlines():
            if line and not line.startswith("#"):
                sample, value = line.rsplit(" ", 1)
                name = sample.split("{")[0]
                totals[name] = totals.get(name, 0) + float(value)
        admin.close()
        return totals
