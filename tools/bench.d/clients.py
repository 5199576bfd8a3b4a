"""Clients of this run itself: those that check an answer, and those that stay idle."""

import http.client
import socket
import ssl
import subprocess

from processes import Failed

TIMEOUT_SECONDS = 10


def expected(size):
    """The body the origin sends."""
    alphabet = b"abcdefghijklmnopqrstuvwxyz"
    return (alphabet * (size // 26 + 1))[:size]


# One request each.


def ask(port, path, upload, certificates):
    """Status and body of the answer to one HTTP/1.1 request, over TLS if there are certificates."""
    if certificates:
        trust = ssl.create_default_context(cafile=certificates.authority)
        connection = http.client.HTTPSConnection("localhost", port, timeout=TIMEOUT_SECONDS, context=trust)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.connect()
        if certificates:
            check_cipher(connection.sock, certificates)
        connection.request("POST" if upload else "GET", path, b"x" * upload or None)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise Failed(f"no answer to {path}: {error or type(error).__name__}") from error
    finally:
        connection.close()


def check_cipher(connection, certificates):
    """Fails unless version and cipher are those that everyone has."""
    agreed = (connection.version(), connection.cipher()[0])
    if agreed != (certificates.version, certificates.cipher):
        raise Failed(f"{' with '.join(agreed)} instead of the cipher of all others")


def ask_http2(port, path, upload, certificates):
    """Status and body of the answer to one HTTP/2 request, by curl."""
    words = ["curl", "-sS", "--max-time", str(TIMEOUT_SECONDS), "-w", "\n%{http_version} %{http_code}"]
    if certificates:
        with connect(port, trusting(certificates.authority, "h2")) as connection:
            check_cipher(connection, certificates)
        words += ["--http2", "--cacert", certificates.authority, f"https://localhost:{port}{path}"]
    else:
        words += ["--http2-prior-knowledge", f"http://127.0.0.1:{port}{path}"]
    words += ["--data-binary", "@-"] if upload else []
    done = subprocess.run(words, input=b"x" * upload, capture_output=True, check=False)
    body, _, last = done.stdout.rpartition(b"\n")
    version, _, status = last.partition(b" ")
    if done.returncode or version != b"2":
        why = done.stderr.decode(errors="replace").strip() or f"HTTP/{version.decode()}"
        raise Failed(f"no answer to {path} over HTTP/2: {why}")
    return int(status), body


# Idle ones.


def trusting(authority, protocol=None):
    """The settings of TLS for a client that trusts this authority, and offers this protocol alone."""
    trust = ssl.create_default_context(cafile=authority)
    if protocol:
        trust.set_alpn_protocols([protocol])
    return trust


def connect(port, trust):
    """A connection, over TLS if there is anything to trust."""
    client = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS)
    try:
        return trust.wrap_socket(client, server_hostname="localhost") if trust else client
    except OSError:
        client.close()
        raise


REQUEST = b"GET /13 HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"


def exchange(client):
    """One HTTP/1.1 request."""
    client.sendall(REQUEST)
    answer = b""
    while not answer.endswith(b"\r\n\r\n" + expected(13)):
        part = client.recv(4096)
        if not part:
            raise OSError("closed before its answer")
        answer += part


# RFC 9113 §6.
DATA, HEADERS, SETTINGS, GOAWAY = 0, 1, 4, 7
ACK, END_STREAM, END_HEADERS = 1, 1, 4


def frame(kind, flags, stream, payload):
    """One frame."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def exchange_http2(client):
    """The beginning of an HTTP/2 connection, and one request. Returns once its answer is whole and both
    sides have acknowledged the settings of the other: nothing more is to be said."""
    fields = ((":method", "GET"), (":scheme", "http"), (":authority", "localhost"), (":path", "/13"),
              ("user-agent", "bench"), ("accept", "*/*"))
    # Literals with their names: a zero and two strings, each behind its length.
    block = b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode() for name, value in fields
    )
    client.sendall(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b"")
        + frame(HEADERS, END_STREAM | END_HEADERS, 1, block)
    )
    held, answered, acknowledged, settled = b"", False, False, False
    while not (answered and acknowledged and settled):
        part = client.recv(4096)
        if not part:
            raise OSError("closed before its answer")
        held += part
        while len(held) >= 9 and len(held) >= 9 + int.from_bytes(held[:3], "big"):
            kind, flags, length = held[3], held[4], int.from_bytes(held[:3], "big")
            held = held[9 + length:]
            if kind == GOAWAY:
                raise OSError("GOAWAY before its answer")
            if kind == SETTINGS and flags & ACK:
                acknowledged = True
            elif kind == SETTINGS:
                client.sendall(frame(SETTINGS, ACK, 0, b""))
                settled = True
            elif kind in (DATA, HEADERS) and flags & END_STREAM:
                answered = True


class IdleClients:
    """Clients of a port, over TLS if there is an authority to trust."""

    def __init__(self, port, authority, is_http2):
        self.port = port
        self.trust = trusting(authority, "h2" if is_http2 else None) if authority else None
        self.exchange = exchange_http2 if is_http2 else exchange

    def open(self, count):
        """Clients that have each sent a request and read the response."""
        clients = []
        try:
            for _ in range(count):
                clients.append(connect(self.port, self.trust))
                self.exchange(clients[-1])
        except OSError:
            for client in clients:
                client.close()
            raise
        return clients

    def hold(self, count):
        """Opens and closes this many connections, so that one-time allocations are done."""
        for client in self.open(count):
            client.close()

    @staticmethod
    def is_open(client):
        """Whether the other side has neither closed nor sent anything."""
        client.setblocking(False)
        try:
            # Not a peek: TLS may have had something to say that is no data.
            client.recv(1)
            return False
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            return False
