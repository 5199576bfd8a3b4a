"""The clients of the TLS cases, all with one method: `ask` shakes hands, sends one request and returns
what was agreed on and answered, or raises `Refused`.

`can` lists what a client can do besides: offer any ALPN, offer TLS 1.1, or resume sessions.
"""

import json
import re
import socket
import ssl
import subprocess
import warnings
from dataclasses import dataclass
from pathlib import Path

from pki import Identity

HERE = Path(__file__).parent
TIMEOUT = 10  # s
HTTP_1, UNKNOWN = ("http/1.1",), ("spdy/1",)


class Refused(Exception):
    """The handshake failed, or the connection ended without an answer."""


@dataclass
class Asked:
    """What a client does; without a name it sends no SNI."""

    port: int
    name: str | None = "first.test"
    version: str | None = None
    alpn: tuple = HTTP_1
    identity: Identity | None = None
    # The authority to trust; none: any certificate.
    authority: str | None = None
    # Whether the certificate must be for the name, where a client can tell that from the rest.
    named: bool = True
    path: str = "/echo"
    headers: tuple = ()

    @property
    def request(self):
        lines = [f"GET {self.path} HTTP/1.1", f"Host: {self.name or '127.0.0.1'}", *self.headers]
        return "\r\n".join([*lines, "Connection: close", "", ""])


@dataclass
class Agreed:
    """The outcome; `subject` is the common name of the server's certificate."""

    version: str
    alpn: str | None
    subject: str | None
    resumed: bool
    answer: str


class Curl:
    name = "curl"
    can = set()

    def ask(self, asked):
        host = asked.name or "127.0.0.1"
        command = ["curl", "-q", "-sS", "-v", "--http1.1", "--noproxy", "*", "--max-time", str(TIMEOUT)]
        command += ["--resolve", f"{host}:{asked.port}:127.0.0.1"]
        command += ["--cacert", asked.authority] if asked.authority and asked.named else ["-k"]
        if asked.version:
            command += [f"--tlsv{asked.version}", "--tls-max", asked.version]
        command += [] if asked.alpn else ["--no-alpn"]
        if asked.identity:
            command += ["--cert", asked.identity.cert, "--key", asked.identity.key]
        for header in asked.headers:
            command += ["-H", header]
        done = said([*command, f"https://{host}:{asked.port}{asked.path}"])
        if done.returncode:
            raise Refused(done.stderr.strip().splitlines()[-1])
        return Agreed(
            version=first(r"SSL connection using TLSv(\S+)", done.stderr),
            alpn=first(r"server accepted (\S+)", done.stderr),
            subject=first(r"subject: CN ?= ?(\S+)", done.stderr),
            resumed="re-using session ID" in done.stderr,
            answer=done.stdout,
        )


class OpenSsl:
    name = "openssl s_client"
    can = {"any ALPN", "TLS 1.1", "resumption"}

    def __init__(self, folder):
        self.session = Path(folder) / "s_client.session"

    def ask(self, asked, resume=False):
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{asked.port}", "-ign_eof"]
        command += ["-servername", asked.name] if asked.name else ["-noservername"]
        if asked.authority:
            command += ["-CAfile", asked.authority, "-verify_return_error"]
        if asked.version:
            command += [f"-tls{asked.version.replace('.', '_')}"]
        if asked.version == "1.1":
            command += ["-cipher", "ALL:@SECLEVEL=0"]
        command += ["-alpn", ",".join(asked.alpn)] if asked.alpn else []
        if asked.identity:
            command += ["-cert", asked.identity.cert, "-key", asked.identity.key]
        if resume:
            command += ["-sess_in", str(self.session)] if self.session.exists() else []
            command += ["-sess_out", str(self.session)]
        done = said(command, asked.request)
        if "HTTP/1.1 " not in done.stdout:
            raise Refused(first(r"alert ([\w ]+)", done.stderr) or done.stderr.strip()[-200:])
        return Agreed(
            version=first(r"(?:New|Reused), TLSv([\d.]+)", done.stdout),
            alpn=first(r"ALPN protocol: (\S+)", done.stdout),
            subject=first(r"subject=CN ?= ?(\S+)", done.stdout),
            resumed="Reused, TLS" in done.stdout,
            answer=done.stdout.partition("HTTP/1.1 ")[2],
        )


class PythonSsl:
    name = "Python ssl"
    can = {"any ALPN", "TLS 1.1", "resumption"}
    VERSIONS = {
        "1.1": ssl.TLSVersion.TLSv1_1, "1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3,
    }

    def __init__(self, _folder):
        self.session = self.trust = None

    def context(self, asked):
        trust = ssl.create_default_context(cafile=asked.authority)
        trust.check_hostname = False
        if not asked.authority:
            trust.verify_mode = ssl.CERT_NONE
        if asked.version:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # TLS 1.1 is deprecated
                trust.minimum_version = trust.maximum_version = self.VERSIONS[asked.version]
        if asked.version == "1.1":
            trust.set_ciphers("ALL:@SECLEVEL=0")
        if asked.alpn:
            trust.set_alpn_protocols(list(asked.alpn))
        if asked.identity:
            trust.load_cert_chain(asked.identity.cert, asked.identity.key)
        return trust

    def ask(self, asked, resume=False):
        # A session belongs to its context.
        self.trust = self.trust if resume and self.trust else self.context(asked)
        try:
            with socket.create_connection(("127.0.0.1", asked.port), TIMEOUT) as tcp:
                session = self.session if resume else None
                with self.trust.wrap_socket(tcp, server_hostname=asked.name, session=session) as tls:
                    tls.sendall(asked.request.encode())
                    answer = b"".join(iter(lambda: tls.recv(65536), b""))
                    if resume:
                        self.session = tls.session
                    if not answer:
                        raise Refused("closed without an answer")
                    names = dict(pair[0] for pair in (tls.getpeercert() or {}).get("subject", ()))
                    return Agreed(
                        tls.version().removeprefix("TLSv"), tls.selected_alpn_protocol(),
                        names.get("commonName"), tls.session_reused, answer.decode(),
                    )
        except OSError as error:
            raise Refused(str(error)) from error


class Node:
    name = "Node tls"
    can = {"any ALPN", "resumption"}

    def __init__(self, _folder):
        self.session = None

    def ask(self, asked, resume=False):
        options = {
            "port": asked.port, "servername": asked.name or "", "alpn": asked.alpn, "version": asked.version,
            "request": asked.request, "session": self.session if resume else None,
            "ca": asked.authority, "cert": asked.identity and asked.identity.cert,
            "key": asked.identity and asked.identity.key,
        }
        done = said(["node", str(HERE / "tls_client_node.mjs"), json.dumps(options)])
        outcome = json.loads(done.stdout.strip() or '{"error": "Node ended"}')
        if "error" in outcome:
            raise Refused(outcome["error"])
        session = outcome.pop("session")
        self.session = session if resume else self.session
        return Agreed(**outcome)


def clients(folder):
    """All clients; what they keep goes into the folder."""
    return [Curl(), OpenSsl(folder), PythonSsl(folder), Node(folder)]


def said(command, entered=None):
    return subprocess.run(command, input=entered or "", capture_output=True, text=True, timeout=2 * TIMEOUT)


def first(pattern, text):
    found = re.search(pattern, text)
    return found[1] if found else None
