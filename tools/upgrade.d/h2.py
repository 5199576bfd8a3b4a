"""A client of HTTP/2 that makes GETs, many at a time on one connection: as much of RFC 9113 as that takes."""

import asyncio

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
ACK = END_STREAM = 1
END_HEADERS = 4
NO_TABLE = b"\x20"
STATUS_200 = b"\x88"  # in the static table of HPACK


class NotProcessed(Exception):
    """The server has said that it has not looked at the request: it may be sent again."""


class Stream:
    """What has come of an answer; `more` is set whenever something has."""

    def __init__(self):
        self.head, self.body, self.length = None, b"", 0
        self.is_whole, self.error, self.more = False, None, asyncio.Event()


class Connection:
    def __init__(self, reader, writer, scheme):
        self.reader, self.writer = reader, writer
        self.scheme = b"\x87" if scheme == "https" else b"\x86"
        self.streams, self.next = {}, 1
        self.is_leaving = self.is_over = False
        writer.write(PREFACE + frame(SETTINGS, 0, 0, b""))
        self.task = asyncio.create_task(self.read())

    def open(self, path):
        """Sends a request; returns the number of its stream."""
        number = self.next
        self.next += 2
        self.streams[number] = Stream()
        block = b"\x82" + self.scheme + literal(1, b"localhost") + literal(4, path.encode())
        self.writer.write(frame(HEADERS, END_HEADERS | END_STREAM, number, block))
        return number

    async def part(self, number):
        """What has come of a body since, of which the server may send as much again; nothing at its end."""
        stream = self.streams[number]
        while not stream.body:
            if stream.error or stream.is_whole:
                del self.streams[number]
            if stream.error:
                raise stream.error
            if stream.is_whole:
                return b""
            stream.more.clear()
            await stream.more.wait()
        if stream.head[:1] != STATUS_200:
            raise ValueError(f"not 200: {stream.head!r}")
        data, stream.body = stream.body, b""
        for to in () if self.is_over else (0, number):
            self.writer.write(frame(WINDOW_UPDATE, 0, to, len(data).to_bytes(4, "big")))
        return data

    async def get(self, path):
        number, length = self.open(path), 0
        while data := await self.part(number):
            length += len(data)
        return length

    def close(self):
        self.task.cancel()
        self.writer.close()

    async def read(self):
        error = ConnectionError("the connection has ended")
        try:
            while True:
                head = await self.reader.readexactly(9)
                payload = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
                self.take(head[3], head[4], int.from_bytes(head[5:], "big") & 0x7FFFFFFF, payload)
        except (asyncio.IncompleteReadError, OSError) as broken:
            error = ConnectionError(repr(broken))
        finally:
            self.is_leaving = self.is_over = True
            for stream in self.streams.values():
                self.fail(stream, error)

    def take(self, kind, flags, number, payload):
        if kind == SETTINGS and not flags & ACK:
            self.writer.write(frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            self.writer.write(frame(PING, ACK, 0, payload))
        elif kind == GOAWAY:
            self.is_leaving = True
            last = int.from_bytes(payload[:4], "big")
            for known, stream in self.streams.items():
                if known > last:
                    self.fail(stream, NotProcessed())
        elif stream := self.streams.get(number):
            if kind == RESET:
                refused = int.from_bytes(payload, "big") == 7
                self.fail(stream, NotProcessed() if refused else ConnectionError(f"reset: {payload!r}"))
            elif kind == HEADERS:
                # The first one begins with the size of the table.
                stream.head = stream.head or payload.lstrip(NO_TABLE)
            elif kind == DATA:
                stream.body += payload
            stream.is_whole |= kind in (HEADERS, DATA) and bool(flags & END_STREAM)
            stream.more.set()

    @staticmethod
    def fail(stream, error):
        if not stream.is_whole:
            stream.error = stream.error or error
        stream.more.set()


def frame(kind, flags, number, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + number.to_bytes(4, "big") + payload


def literal(index, value):
    """A field whose name is in the static table, without an entry of its own."""
    return bytes([index, len(value)]) + value
