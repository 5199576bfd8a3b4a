"""A headless Chromium, driven over a pair of pipes with only Python's standard library."""
import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time


def find():
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if shutil.which(name):
            return shutil.which(name)
    root = os.path.expanduser("~/.cache/ms-playwright")
    for at, _, files in os.walk(root):
        for name in ("chrome-headless-shell", "headless_shell", "chrome"):
            if name in files:
                return os.path.join(at, name)
    return None


class Browser:
    """Chromium over a pair of pipes: JSON messages that end with a NUL."""

    def __init__(self):
        program = find() or sys.exit("Chromium is missing: run tools/page --install")
        self.home = tempfile.mkdtemp(prefix="evener-page-")
        to_read, self.to = os.pipe()
        self.back, back_write = os.pipe()

        def child():                                  # the browser reads from 3 and writes to 4
            a, b = os.dup2(to_read, 10), os.dup2(back_write, 11)
            os.dup2(a, 3)
            os.dup2(b, 4)

        self.process = subprocess.Popen(
            [program, "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--force-color-profile=srgb",
             "--user-data-dir=" + self.home, "about:blank"],
            preexec_fn=child, pass_fds=(3, 4, to_read, back_write), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(back_write)
        self.rest, self.id, self.events, self.session = b"", 0, [], None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "Performance"):
            self.call(domain + ".enable")

    def call(self, method, **params):
        self.id += 1
        message = {"id": self.id, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + 30
        while True:
            got = self.read(end - time.monotonic())
            if got is None:
                raise TimeoutError(method)
            if got.get("id") == self.id:
                if "error" in got:
                    raise RuntimeError(f"{method}: {got['error']}")
                return got["result"]

    def read(self, wait):
        end = time.monotonic() + wait
        while b"\0" not in self.rest:
            if not select.select([self.back], [], [], max(0, end - time.monotonic()))[0]:
                return None
            data = os.read(self.back, 1 << 20)
            if not data:
                raise RuntimeError("the browser ended")
            self.rest += data
        one, self.rest = self.rest.split(b"\0", 1)
        got = json.loads(one)
        if "method" in got:
            self.events.append(got)
        return got

    def sleep(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.read(end - time.monotonic())

    def js(self, source):
        r = self.call("Runtime.evaluate", expression=source, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in r:
            raise RuntimeError(r["exceptionDetails"].get("exception", {}).get("description", "exception"))
        return r["result"].get("value")

    def busy(self):
        """The seconds of work of the page's main thread so far."""
        return {m["name"]: m["value"] for m in self.call("Performance.getMetrics")["metrics"]}["TaskDuration"]

    def until(self, source, seconds, what):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.js(source):
                return []
            self.sleep(0.1)
        return ["waited in vain for " + what]

    def picture(self, path, full):
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=full)
        with open(path, "wb") as f:
            f.write(base64.b64decode(shot["data"]))

    def close(self):
        try:
            self.session = None
            self.call("Browser.close")
        except Exception:
            pass
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
        shutil.rmtree(self.home, ignore_errors=True)
