"""The origin that uvicorn runs; FOLDER names the folder of `small` and `large`."""

import hashlib
import os
from pathlib import Path

FOLDER = Path(os.environ["FOLDER"])
FILES = {f"/{name}": (FOLDER / name).read_bytes() for name in ("small", "large")}
PIECE = 10_000


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        return await echo_messages(receive, send)
    path, method, fields = scope["path"], scope["method"], dict(scope["headers"])
    if path in FILES and method in ("GET", "HEAD"):
        tag = b'"%d"' % len(FILES[path])
        if fields.get(b"if-none-match") == tag:
            return await answer(send, 304, b"", [])
        return await answer(send, 200, FILES[path], [(b"etag", tag)])
    if path == "/chunked":
        return await in_chunks(send, FILES["/large"])
    if path == "/echo":
        body = await whole_body(receive)
        text = f"{len(body)} {hashlib.sha256(body).hexdigest()}\n"
        return await answer(send, 200, text.encode(), [])
    await answer(send, 404, b"nothing here\n", [])


async def whole_body(receive):
    body, more = b"", True
    while more:
        event = await receive()
        body += event.get("body", b"")
        more = event.get("more_body", False)
    return body


async def answer(send, status, body, fields):
    if status != 304:
        fields = [*fields, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


async def in_chunks(send, body):
    """Without a Content-Length, uvicorn sends chunks."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for at in range(0, len(body), PIECE):
        piece = body[at : at + PIECE]
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})


async def echo_messages(receive, send):
    await receive()  # websocket.connect
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        text, data = event.get("text"), event.get("bytes")
        await send({"type": "websocket.send", "text": text, "bytes": data})
