"""An Evener whose configuration changes, and which is reloaded and upgraded: for tools/upgrade and tools/grpc."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

PATIENCE = 30  # s


class Balancer:
    """The process in service, and those before it that still finish what they had begun."""

    def __init__(self, binary, folder, configure, certificates=()):
        """`configure(round)` returns the lines of the configuration file, and each round shows the next certificate,
        if there are any, in `cert.pem` and `key.pem`."""
        self.binary, self.folder, self.configure = binary, Path(folder), configure
        self.round, self.reloads, self.upgrades = 0, 0, 0
        self.certificates = certificates
        self.log = open(self.folder / "log", "w")
        self.old = []
        self.write()
        self.process = self.launch([])
        self.wait_for("listening on", 1)

    def write(self, extra=""):
        """A different configuration each time."""
        self.round += 1
        if self.certificates:
            self.renew()
        lines = [
            f"upgrade_sock: {self.folder}/sock",
            f"pid_file: {self.folder}/pid",
            f"access_log: {self.folder}/access.log",
            f"admin: unix:{self.folder}/admin.sock",
            *self.configure(self.round),
            extra,
        ]
        (self.folder / "conf.yaml").write_text("\n".join(lines))

    def renew(self):
        """Puts the next certificate in place, each file in one step."""
        for path, name in zip(self.certificate(), ("cert.pem", "key.pem")):
            shutil.copy(path, self.folder / "new")
            os.rename(self.folder / "new", self.folder / name)

    def certificate(self):
        """The files of the certificate that is in force."""
        current = self.certificates[self.round % len(self.certificates)]
        return current.cert, current.key

    def launch(self, words):
        words = [self.binary, "-c", str(self.folder / "conf.yaml"), *words]
        return subprocess.Popen(words, stderr=self.log)

    def said(self, text):
        return (self.folder / "log").read_text().count(text)

    def wait_for(self, text, count):
        deadline = time.monotonic() + PATIENCE
        while self.said(text) < count:
            if time.monotonic() > deadline:
                sys.exit(f"never logged {text!r}:\n{(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.01)

    def reload(self):
        self.write()
        count = self.said("reloaded: ")
        self.process.send_signal(signal.SIGHUP)
        self.wait_for("reloaded: ", count + 1)
        self.reloads += 1

    def upgrade(self, threads):
        self.write()
        count = self.said("handed over; what still runs")
        self.old.append(self.process)
        self.process.send_signal(signal.SIGQUIT)
        self.process = self.launch(["-u", "--threads", str(threads)])
        self.wait_for("handed over; what still runs", count + 1)
        self.upgrades += 1

    def alive(self):
        """How many processes there are."""
        return 1 + sum(process.poll() is None for process in self.old)

    def settle(self):
        """Waits until the processes before this one have finished, and the access log is written."""
        for process in self.old:
            process.wait(timeout=PATIENCE)
        time.sleep(0.2)

    def memory(self):
        """In KiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    def refused(self):
        """Checks that a refused reload leaves the old plan in force."""
        self.write(extra="max_idle: none")
        self.process.send_signal(signal.SIGHUP)
        self.wait_for("reload refused, nothing has changed", 1)

    def end(self):
        for process in [*self.old, self.process]:
            if process.poll() is None:
                process.terminate()
        for process in [*self.old, self.process]:
            process.wait(timeout=60)
