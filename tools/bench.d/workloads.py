"""The workloads, one row each."""

from dataclasses import dataclass

KI, MI = 1024, 1024 * 1024

# What a proxy must support for a workload.
HTTP, ROUTES, TCP = "http", "routes", "tcp"
TLS, TLS_ENDPOINTS = "tls", "tls-endpoints"
# HTTP/2 to clients, in plain by prior knowledge and over TLS; and to endpoints as well, both in plain.
H2, H2_TLS, H2_BOTH = "h2", "h2-tls", "h2-both"
HTTP2 = frozenset({H2, H2_TLS, H2_BOTH})
TLS_CLIENTS = frozenset({TLS, H2_TLS})

# What the TLS sessions of clients that connect again must be.
RESUMED, FULL = "resumed", "full"

# How it is measured.
LOAD, IDLE = "load", "idle"

ROUTES_COUNT = 1000


@dataclass(frozen=True)
class Workload:
    """One row: the load, and what a proxy must support."""

    name: str
    title: str
    connections: int = 64
    # Bytes of the response body.
    answer: int = 13
    # Bytes of each chunk of it; 0: it has a Content-Length.
    chunk: int = 0
    # Bytes of the request body; 0 means GET.
    upload: int = 0
    needs: str = HTTP
    how: str = LOAD
    # Whether all cores may be used, with each proxy's default number of threads.
    all_cores: bool = False
    # HTTP/2 streams of a connection at a time.
    streams: int = 1
    # Additional arguments for load.lua; h2load.py knows `browser=1`.
    words: tuple = ()
    # Whether clients resume their TLS sessions when they connect again: checked, if they do connect again.
    sessions: str = ""
    # Variants that are measured only here.
    variants: tuple = ()
    # Proxies for which this workload is meaningless.
    without: tuple = ()

    @property
    def path(self):
        """The requested path; load.lua puts the route before it."""
        return f"/chunks-{self.chunk}/{self.answer}" if self.chunk else f"/{self.answer}"

    @property
    def routes(self):
        """The number of routes; 0: one for everything."""
        return ROUTES_COUNT if self.needs == ROUTES else 0

    @property
    def host(self):
        """The scheme and host of the load; with TLS the name in the certificate."""
        return "https://localhost" if self.needs in TLS_CLIENTS else "http://127.0.0.1"

    @property
    def load_words(self):
        """The arguments for load.lua."""
        upload = ("method=POST", f"bytes={self.upload}") if self.upload else ()
        return (*upload, *self.words)


# Variants of a peer that are measured with large bodies.
UNSPOOLED, SPLICE = "nginx-unspooled", "relay-splice"
BULK = (UNSPOOLED, SPLICE)

# The relay opens a connection to the origin for each client connection: with pools, idle clients or
# several threads it is not a floor.
NO_FLOOR = ("relay",)

WORKLOADS = (
    Workload("small-1", "13 B answer, 1 connection", connections=1),
    Workload("small-64", "13 B answer, 64 connections"),
    Workload("small-256", "13 B answer, 256 connections", connections=256),
    Workload("10k", "10 KiB answer, 64 connections", answer=10 * KI),
    Workload("1m", "1 MiB answer, 64 connections", answer=MI, variants=BULK),
    Workload("16m", "16 MiB answer, 16 connections", connections=16, answer=16 * MI, variants=BULK),
    *(
        Workload(
            f"1m-chunks-{name}",
            f"1 MiB answer in chunks of {title}, 64 connections",
            answer=MI,
            chunk=chunk,
            variants=(SPLICE,),
        )
        for name, title, chunk in (
            ("4k", "4 KiB", 4 * KI),
            ("16k", "16 KiB", 16 * KI),
            ("64k", "64 KiB", 64 * KI),
            ("1m", "1 MiB", MI),
        )
    ),
    Workload("upload-1k", "1 KiB upload, 64 connections", upload=KI),
    Workload("upload-1m", "1 MiB upload, 64 connections", upload=MI, variants=BULK),
    Workload(
        "routes",
        "browser-sized head, 1000 routes, 64 connections",
        needs=ROUTES,
        words=("browser=1", f"routes={ROUTES_COUNT}"),
    ),
    Workload(
        "connect",
        "a connection for each request, 64 at a time",
        words=("close=1",),
        without=NO_FLOOR,
    ),
    Workload("tcp-small", "TCP: 13 B answer, 64 connections", needs=TCP),
    Workload("tcp-1m", "TCP: 1 MiB answer, 64 connections", answer=MI, needs=TCP, variants=(SPLICE,)),
    Workload("tls-small", "TLS: 13 B answer, 64 connections", needs=TLS),
    Workload("tls-10k", "TLS: 10 KiB answer, 64 connections", answer=10 * KI, needs=TLS),
    Workload(
        "tls-1m", "TLS: 1 MiB answer, 64 connections", answer=MI, needs=TLS, variants=(UNSPOOLED,)
    ),
    Workload(
        "tls-upload-1m", "TLS: 1 MiB upload, 64 connections", upload=MI, needs=TLS, variants=(UNSPOOLED,)
    ),
    Workload(
        "tls-resumed",
        "TLS: a resumed connection for each request, 64 at a time",
        needs=TLS,
        words=("close=1",),
        sessions=RESUMED,
    ),
    Workload(
        "tls-full",
        "TLS: a full handshake for each request, 64 at a time",
        needs=TLS,
        words=("close=1",),
        sessions=FULL,
    ),
    Workload("tls-endpoints", "TLS to endpoints: 13 B answer, 64 connections", needs=TLS_ENDPOINTS),
    Workload(
        "tls-idle", "1000 idle keep-alive TLS clients", connections=1000, how=IDLE, needs=TLS
    ),
    Workload("h2-64x16", "HTTP/2: 13 B answer, 64 connections × 16 streams", needs=H2, streams=16),
    Workload("h2-8x4", "HTTP/2: 13 B answer, 8 connections × 4 streams", connections=8, needs=H2, streams=4),
    Workload(
        "h2-browser",
        "HTTP/2: browser-sized head, 64 connections × 16 streams",
        needs=H2,
        streams=16,
        words=("browser=1",),
    ),
    Workload(
        "h2-1m",
        "HTTP/2: 1 MiB answer, 16 connections × 4 streams",
        connections=16,
        answer=MI,
        needs=H2,
        streams=4,
        variants=(UNSPOOLED,),
    ),
    Workload(
        "h2-upload-1m",
        "HTTP/2: 1 MiB upload, 16 connections × 4 streams",
        connections=16,
        upload=MI,
        needs=H2,
        streams=4,
        variants=(UNSPOOLED,),
    ),
    Workload(
        "h2-tls-64x16", "HTTP/2 over TLS: 13 B answer, 64 connections × 16 streams", needs=H2_TLS, streams=16
    ),
    Workload(
        "h2-tls-8x4",
        "HTTP/2 over TLS: 13 B answer, 8 connections × 4 streams",
        connections=8,
        needs=H2_TLS,
        streams=4,
    ),
    Workload(
        "h2-tls-1m",
        "HTTP/2 over TLS: 1 MiB answer, 16 connections × 4 streams",
        connections=16,
        answer=MI,
        needs=H2_TLS,
        streams=4,
        variants=(UNSPOOLED,),
    ),
    Workload(
        "h2-tls-upload-1m",
        "HTTP/2 over TLS: 1 MiB upload, 16 connections × 4 streams",
        connections=16,
        upload=MI,
        needs=H2_TLS,
        streams=4,
        variants=(UNSPOOLED,),
    ),
    Workload(
        "h2-both", "HTTP/2 on both sides: 13 B answer, 64 connections × 16 streams", needs=H2_BOTH, streams=16
    ),
    Workload("h2-idle", "1000 idle HTTP/2 clients", connections=1000, how=IDLE, needs=H2),
    Workload("h2-tls-idle", "1000 idle HTTP/2 clients over TLS", connections=1000, how=IDLE, needs=H2_TLS),
    Workload(
        "idle", "8000 idle keep-alive clients", connections=8000, how=IDLE, without=NO_FLOOR
    ),
    Workload(
        "all-cores",
        "13 B answer, 256 connections, every core, nothing pinned",
        connections=256,
        all_cores=True,
        without=NO_FLOOR,
    ),
)
