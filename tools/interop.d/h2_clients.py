"""The clients that speak HTTP/2, in plain with prior knowledge and over TLS."""

import asyncio
import json
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

import httpx
from cases import LARGE
from clients import HERE, TIMEOUT, Answer, Client, Curl, Piped, written


class CurlH2(Curl):
    name = "curl"
    can = {"chunked upload", "answer trailers", "100-continue"}
    has_chunks = False

    @property
    def version(self):
        return "--http2" if self.authority else "--http2-prior-knowledge"

    def options(self, index, request):
        # Without a length there is nothing else that an HTTP/2 client could do: no chunks.
        options = super().options(index, request)
        return [*(["--cacert", self.authority] if self.authority else []), *options]

    def request(self, request):
        return super().several([request])[0][0]

    @property
    def shares(self):
        """With prior knowledge, curl 7.88 sends the preface again on a connection that it shares."""
        return self.authority is not None

    def several(self, requests):
        if self.shares:
            return super().several(requests)
        return [self.request(request) for request in requests], 0

    def at_once(self, requests):
        command = ["curl", "-q", "-sS", "--parallel", "--parallel-max", "200"]
        for index, request in enumerate(requests):
            command += (["--next"] if index else []) + self.options(index, request)
        done = subprocess.run(command, capture_output=True, text=True, timeout=2 * TIMEOUT)
        if done.returncode:
            raise RuntimeError(f"curl: {done.stderr.strip()}")
        self.connections = sum(map(int, done.stdout.split()))
        return [self.answer(index) for index in range(len(requests))]


class HttpxH2(Client):
    name = "httpx"
    can = {"chunked upload"}
    has_chunks = False

    def open(self):
        self.loop = asyncio.new_event_loop()
        self.seen = set()
        limits = httpx.Limits(max_connections=1)
        self.client = httpx.AsyncClient(
            http1=False, http2=True, trust_env=False, timeout=TIMEOUT, limits=limits,
            verify=self.authority or True,
        )

    def close(self):
        self.loop.run_until_complete(self.client.aclose())
        self.loop.close()

    def request(self, request):
        return self.loop.run_until_complete(self.requested(request))

    def at_once(self, requests):
        async def all_of_them():
            return await asyncio.gather(*map(self.requested, requests))

        return self.loop.run_until_complete(all_of_them())

    async def requested(self, request):
        async def pieces():
            for piece in request.pieces():
                yield piece

        body = pieces() if request.chunked else request.body
        url = self.base + request.path
        response = await self.client.request(request.method, url, headers=request.headers, content=body)
        assert response.http_version == "HTTP/2", response.http_version
        self.seen.add(response.extensions["network_stream"].get_extra_info("client_addr"))
        self.connections = len(self.seen)
        return Answer(response.status_code, dict(response.headers), response.content)


class Nghttp(Client):
    """nghttp, with padding."""

    name = "nghttp"
    can = {"chunked upload", "request trailers"}
    has_chunks = False

    def open(self):
        self.folder = tempfile.TemporaryDirectory()

    def close(self):
        self.folder.cleanup()

    def request(self, request):
        return self.told(request, 1)[0]

    def at_once(self, requests):
        """It repeats one request only: each kind is a connection of its own."""
        answers = {}
        for request in requests:
            key = (request.method, request.path)
            if key not in answers:
                count = sum((each.method, each.path) == key for each in requests)
                answers[key] = self.told(request, count)
        self.connections = 1
        return [answers[request.method, request.path].pop() for request in requests]

    def told(self, request, count):
        har, upload = Path(self.folder.name) / "har", Path(self.folder.name) / "upload"
        command = ["nghttp", f"--har={har}", f"-m{count}", "-t", str(TIMEOUT), "--padding=100"]
        command += ["-H", f":method: {request.method}"]
        for name, value in request.headers.items():
            command += ["-H", f"{name}: {value}"]
        for name, value in (request.trailers or {}).items():
            command += ["--trailer", f"{name}: {value}"]
        if request.body is not None:
            upload.write_bytes(request.body)
            command += ["-d", str(upload)]
        command += ["--no-content-length"] if request.chunked else []
        done = subprocess.run([*command, "-y", self.base + request.path], capture_output=True, timeout=2 * TIMEOUT)
        if done.returncode or b"ERROR" in done.stderr:
            raise RuntimeError(f"nghttp: {done.stderr.decode(errors='replace')}")
        entries = json.loads(har.read_text())["log"]["entries"]
        self.connections = 1
        share = len(done.stdout) // len(entries)
        # Bodies are written as they come, mixed if there are several; equal ones are told by their length.
        bodies = [done.stdout] if len(entries) == 1 else [done.stdout[:share]] * len(entries)
        if len(entries) > 1 and request.path == "/large":
            assert Counter(done.stdout) == Counter(LARGE * len(entries)), len(done.stdout)
            bodies = [LARGE] * len(entries)
        return [
            Answer(
                entry["response"]["status"],
                {field["name"]: field["value"] for field in entry["response"]["headers"]}, body,
            )
            for entry, body in zip(entries, bodies, strict=True)
        ]

    def several(self, requests):
        return [self.request(request) for request in requests], 0


class PipedH2(Piped):
    can = {"chunked upload", "100-continue", "request trailers", "answer trailers"}
    has_chunks = False

    def at_once(self, requests):
        answers = self.asked({"batch": [written(request) for request in requests]})["batch"]
        return [self.answer(answer) for answer in answers]


class NodeH2(PipedH2):
    name = "Node http2"

    def command(self):
        return ["node", str(HERE / "client_node_h2.mjs"), self.base, self.authority or ""]


class GoH2(PipedH2):
    name = "Go"
    can = PipedH2.can - {"100-continue"}
    program = ""

    def command(self):
        return [self.program, self.base, self.authority or ""]


def clients(go_client):
    """All clients; Go's if it has been built."""
    GoH2.program = go_client
    return [CurlH2, HttpxH2, Nghttp, NodeH2, *([GoH2] if go_client else [])]
