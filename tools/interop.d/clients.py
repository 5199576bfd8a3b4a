"""The clients, all with the same few methods, so that the cases are written once.

A client has a name, lists in `can` the optional cases it supports, counts its connections, and has
the method `request`.
"""

import asyncio
import base64
import json
import socket
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import h11
import httpx
import requests

HERE = Path(__file__).parent
TIMEOUT = 15  # s, for one request


@dataclass
class Request:
    method: str
    path: str
    headers: dict = field(default_factory=dict)
    body: bytes | None = None
    chunked: bool = False
    trailers: dict | None = None
    expect: bool = False

    def pieces(self):
        """The body in pieces of very different sizes, to be sent as chunks."""
        at, sizes = 0, [1, 10, 1000, 70_000]
        while at < len(self.body):
            size = sizes[0]
            sizes = sizes[1:] + [size]
            yield self.body[at : at + size]
            at += size


@dataclass
class Answer:
    status: int
    headers: dict
    body: bytes
    trailers: dict = field(default_factory=dict)
    interim: list = field(default_factory=list)

    def __post_init__(self):
        self.headers = {name.lower(): value for name, value in self.headers.items()}
        self.trailers = {name.lower(): value for name, value in self.trailers.items()}


class Client:
    can: set = set()
    http_1_0 = False
    has_chunks = True
    shares = True  # whether it can make requests at the same time on one connection, with HTTP/2
    ends_after_head = 0  # connections that it closes itself after a response to HEAD

    def __init__(self, port, authority=None):
        """With an authority to trust, it speaks TLS."""
        self.port, self.authority = port, authority
        self.base = f"https://localhost:{port}" if authority else f"http://127.0.0.1:{port}"
        self.connections = 0
        self.open()

    def open(self):
        """Prepares for the first request."""

    def close(self):
        """Cleans up after the last request."""

    def several(self, requests):
        """Sends requests one after the other; returns the responses and the number of reconnects."""
        answers = [self.request(requests[0])]
        before = self.connections
        answers += [self.request(request) for request in requests[1:]]
        return answers, self.connections - before


class Curl(Client):
    name = "curl"
    version = "--http1.1"
    can = {"chunked upload", "100-continue", "answer trailers"}

    def open(self):
        self.folder = tempfile.TemporaryDirectory()

    def close(self):
        self.folder.cleanup()

    def request(self, request):
        return self.several([request])[0][0]

    def several(self, requests):
        # -q: no ~/.curlrc. One curl for all requests, so that it keeps its connection.
        command = ["curl", "-q", "-sS"]
        for index, request in enumerate(requests):
            command += (["--next"] if index else []) + self.options(index, request)
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT + 5)
        if done.returncode:
            raise RuntimeError(f"curl: {done.stderr.strip()}")
        connections = sum(map(int, done.stdout.split()))
        return [self.answer(index) for index in range(len(requests))], connections - 1

    def options(self, index, request):
        files = Path(self.folder.name) / str(index)
        for end in ("head", "body"):
            files.with_suffix(f".{end}").unlink(missing_ok=True)
        options = [self.version, "--noproxy", "*", "--max-time", str(TIMEOUT)]
        options += ["-D", f"{files}.head", "-w", "%{num_connects} "]
        # With -I, curl writes the headers again in place of the body.
        is_head = request.method == "HEAD"
        options += ["-I"] if is_head else ["-X", request.method]
        options += ["-o", "/dev/null" if is_head else f"{files}.body"]
        for name, value in request.headers.items():
            options += ["-H", f"{name}: {value}"]
        if request.body is not None:
            files.with_suffix(".upload").write_bytes(request.body)
            options += ["--data-binary", f"@{files}.upload"]
        if request.chunked:
            options += ["-H", "Transfer-Encoding: chunked"]
        # By default, curl sends the body after a second without a 100.
        expect = ["Expect: 100-continue", "--expect100-timeout", "10"]
        return [
            *options,
            "-H",
            *(expect if request.expect else ["Expect:"]),
            self.base + request.path,
        ]

    def answer(self, index):
        files = Path(self.folder.name) / str(index)
        blocks = files.with_suffix(".head").read_bytes().decode("latin-1").split("\r\n\r\n")
        heads = [block for block in blocks if block.startswith("HTTP/")]
        statuses = [int(head.split(" ")[1]) for head in heads]
        trailers = [block for block in blocks if block.strip() and block not in heads]
        body = files.with_suffix(".body")
        return Answer(
            statuses[-1],
            fields(heads[-1].split("\r\n")[1:]),
            body.read_bytes() if body.exists() else b"",
            fields(trailers[-1].strip().split("\r\n")) if trailers else {},
            statuses[:-1],
        )


class Curl10(Curl):
    name = "curl --http1.0"
    version = "--http1.0"
    can = set()
    http_1_0 = True
    has_chunks = False

    def options(self, index, request):
        return [*super().options(index, request), "-H", "Connection: keep-alive"]


def fields(lines):
    return dict(line.split(": ", 1) for line in lines)


class Requests(Client):
    name = "requests"
    can = {"chunked upload"}

    def open(self):
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy from the environment

    def close(self):
        self.session.close()

    def request(self, request):
        body = request.pieces() if request.chunked else request.body
        response = self.session.request(
            request.method,
            self.base + request.path,
            headers=request.headers,
            data=body,
            timeout=TIMEOUT,
        )
        pool = self.session.get_adapter(self.base).poolmanager.connection_from_url(self.base)
        self.connections = pool.num_connections
        return Answer(response.status_code, dict(response.headers), response.content)


class Httpx(Client):
    name = "httpx"
    can = {"chunked upload"}

    def open(self):
        self.client = httpx.Client(trust_env=False, timeout=TIMEOUT)
        self.seen = set()

    def close(self):
        self.client.close()

    def request(self, request):
        body = request.pieces() if request.chunked else request.body
        url = self.base + request.path
        response = self.client.request(request.method, url, headers=request.headers, content=body)
        self.seen.add(response.extensions["network_stream"].get_extra_info("client_addr"))
        self.connections = len(self.seen)
        return Answer(response.status_code, dict(response.headers), response.content)


class Aiohttp(Client):
    name = "aiohttp"
    can = {"chunked upload", "100-continue", "websocket"}

    def open(self):
        self.loop = asyncio.new_event_loop()
        self.session = self.loop.run_until_complete(self.opened())

    async def opened(self):
        trace = aiohttp.TraceConfig()

        async def count(*_):
            self.connections += 1

        trace.on_connection_create_end.append(count)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        return aiohttp.ClientSession(trace_configs=[trace], timeout=timeout)

    def close(self):
        self.loop.run_until_complete(self.session.close())
        self.loop.close()

    def request(self, request):
        return self.loop.run_until_complete(self.requested(request))

    async def requested(self, request):
        async def pieces():
            for piece in request.pieces():
                yield piece

        async with self.session.request(
            request.method,
            self.base + request.path,
            headers=request.headers,
            data=pieces() if request.chunked else request.body,
            expect100=request.expect,
        ) as response:
            body = await response.read()
            # It does not expose the 100, but holds the body back until it arrives.
            interim = [100] if request.expect else []
            return Answer(response.status, dict(response.headers), body, interim=interim)

    def websocket(self, messages):
        return self.loop.run_until_complete(self.talked(messages))

    async def talked(self, messages):
        async with self.session.ws_connect(f"{self.base}/ws", max_msg_size=0) as peer:
            answers = []
            for message in messages:
                await (peer.send_str if isinstance(message, str) else peer.send_bytes)(message)
                answers.append((await peer.receive(TIMEOUT)).data)
        return answers, peer.close_code


class H11(Client):
    """h11's state machine on a plain socket: any protocol violation raises."""

    name = "h11"
    can = {"chunked upload", "100-continue", "request trailers", "answer trailers", "upgrade"}

    def open(self):
        self.socket = None

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None

    def connect(self):
        self.socket = socket.create_connection(("127.0.0.1", self.port), TIMEOUT)
        self.machine = h11.Connection(h11.CLIENT)
        self.connections += 1

    def send(self, event):
        self.socket.sendall(self.machine.send(event))

    def next_event(self):
        while (event := self.machine.next_event()) is h11.NEED_DATA:
            self.machine.receive_data(self.socket.recv(65536))
        return event

    def begin(self, request, more_headers):
        if not self.socket:
            self.connect()
        headers = [("Host", f"127.0.0.1:{self.port}"), *request.headers.items(), *more_headers]
        self.send(h11.Request(method=request.method, target=request.path, headers=headers))

    def request(self, request):
        framing, pieces = [], []
        if request.chunked:
            framing, pieces = [("Transfer-Encoding", "chunked")], request.pieces()
        elif request.body is not None:
            framing, pieces = [("Content-Length", str(len(request.body)))], [request.body]
        self.begin(request, framing + [("Expect", "100-continue")] * request.expect)
        interim, event = [], None
        if request.expect:
            event = self.next_event()
            assert isinstance(event, h11.InformationalResponse), f"no 100 but {event}"
            interim.append(event.status_code)
        for piece in pieces:
            self.send(h11.Data(data=piece))
        self.send(h11.EndOfMessage(headers=list((request.trailers or {}).items())))
        while isinstance(event := self.next_event(), h11.InformationalResponse):
            interim.append(event.status_code)
        assert isinstance(event, h11.Response), f"no answer but {event}"
        response, body = event, b""
        while isinstance(event := self.next_event(), h11.Data):
            body += event.data
        assert isinstance(event, h11.EndOfMessage), f"no end but {event}"
        if self.machine.our_state is self.machine.their_state is h11.DONE:
            self.machine.start_next_cycle()
        else:
            self.close()
        return Answer(
            response.status_code, text(response.headers), body, text(event.headers), interim
        )

    def upgrade(self, data):
        ask = [("Connection", "Upgrade"), ("Upgrade", "echo")]
        self.begin(Request("GET", "/upgrade"), ask)
        self.send(h11.EndOfMessage())
        event = self.next_event()
        assert event.status_code == 101, f"no 101 but {event}"
        self.socket.sendall(data)
        got = self.machine.trailing_data[0]
        while len(got) < len(data) and (more := self.socket.recv(65536)):
            got += more
        self.close()
        return got


def text(headers):
    return {name.decode(): value.decode() for name, value in headers}


class Piped(Client):
    """A process that takes requests and gives answers in JSON, a line each."""

    def open(self):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(self.command(), stdin=pipe, stdout=pipe, text=True)

    def close(self):
        self.process.kill()
        self.process.communicate()

    def request(self, request):
        return self.ask(written(request))

    def ask(self, request):
        return self.answer(self.asked(request))

    def asked(self, asked):
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline() or '{"error": "it ended"}')
        if "error" in answer:
            raise RuntimeError(answer["error"])
        self.connections = answer["connections"]
        return answer

    @staticmethod
    def answer(answer):
        return Answer(
            answer["status"],
            dict(answer["headers"]),
            base64.b64decode(answer["body"]),
            answer.get("trailers") or {},
            answer.get("interim") or [],
        )


def written(request):
    """A request for JSON."""
    pieces = None
    if request.body is not None:
        pieces = [base64.b64encode(piece).decode() for piece in request.pieces()]
    return {**vars(request), "pieces": pieces, "body": None}


class Node(Piped):
    def command(self):
        return ["node", str(HERE / "client_node.mjs"), self.kind, self.base]


class NodeFetch(Node):
    name = "Node fetch"
    kind = "fetch"
    can = {"chunked upload"}
    ends_after_head = 1


class NodeHttp(Node):
    name = "Node http"
    kind = "http"
    can = H11.can

    def upgrade(self, data):
        request = vars(Request("GET", "/upgrade"))
        return self.ask({**request, "upgrade": base64.b64encode(data).decode()}).body


CLIENTS = [Curl, Curl10, Requests, Httpx, Aiohttp, H11, NodeFetch, NodeHttp]
