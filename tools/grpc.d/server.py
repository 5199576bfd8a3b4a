"""A gRPC server: `server.py NAME PORT RECORDS [CERT KEY]`. Each call that reaches a handler is a line in the file
RECORDS: `begun`, and later `done` or `cancelled`, with its number. It also implements the health service.
"""

import asyncio
import json
import os
import signal
import sys

import grpc
from grpc import aio

import service

NAME, PORT, RECORDS, *IDENTITY = sys.argv[1:]
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"
CODES = {code.value[0]: code for code in grpc.StatusCode}
# Its connections end often, in order: the calls of a proxy must not notice.
OPTIONS = [
    ("grpc.max_connection_age_ms", 3000),
    ("grpc.max_concurrent_streams", 20),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),
]
NOTICE, GRACE = 1.5, 20  # s
stopping = asyncio.Event()
records = os.open(RECORDS, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


class Call:
    """What every call does, whatever its kind."""

    def __init__(self, context):
        self.context = context
        self.metadata = dict(context.invocation_metadata())
        self.number = int(self.metadata["x-request-id"])
        self.received = []

    def record(self, what):
        os.write(records, f"{what} {self.number}\n".encode())

    async def __aenter__(self):
        self.record("begun")
        token = self.metadata.get("x-token-bin", b"")
        await self.context.send_initial_metadata([("x-server", NAME), ("x-token-bin", token)])
        return self

    async def __aexit__(self, kind, *_):
        if kind:
            self.record("cancelled" if kind is asyncio.CancelledError else "failed")
        else:
            self.record("done")

    def end(self):
        """The trailers and the status."""
        digest = service.digest(self.received)
        trailers = [("x-call", str(self.number)), ("x-digest-bin", digest)]
        self.context.set_trailing_metadata(trailers)
        if service.fails(self.number):
            self.context.set_code(grpc.StatusCode.FAILED_PRECONDITION)
            self.context.set_details(service.DETAILS)


async def unary(request, context):
    async with Call(context) as call:
        call.received.append(request)
        call.end()
        return request


async def server_stream(request, context):
    async with Call(context) as call:
        call.received.append(request)
        for index in range(service.count(call.number)):
            await context.write(service.message(call.number, index))
        call.end()


async def client_stream(requests, context):
    async with Call(context) as call:
        async for request in requests:
            call.received.append(request)
        call.end()
        return service.digest(call.received)


async def bidi(requests, context):
    async with Call(context) as call:
        async for request in requests:
            call.received.append(request)
            await context.write(request)
        call.end()


async def patient(requests, context):
    """A request that is cancelled ends for grpcio like any other: that it is cancelled comes after that."""
    async with Call(context):
        async for _ in requests:
            pass
        await asyncio.sleep(1)
        return b""


async def held(requests, context):
    """Ends well when the server does, after the answer to a message."""
    async with Call(context):
        async for request in requests:
            await context.write(request)
            if stopping.is_set():
                return


async def told(request, context):
    """Does what its request says, in JSON: so many messages, a wait, trailers, a status."""
    says = json.loads(request)
    call = Call(context)
    call.record("begun")
    try:
        for index in range(says.get("messages", 0)):
            await context.write(b"%d" % index)
        await asyncio.sleep(says.get("wait", 0))
    except asyncio.CancelledError:
        call.record("cancelled")
        raise
    context.set_trailing_metadata([(name, bytes.fromhex(value)) for name, value in says.get("trailers", [])])
    context.set_code(CODES[says.get("status", 0)])
    context.set_details(says.get("details", ""))
    call.record("done")


async def echo(request, _context):
    return request


async def health(_request, _context):
    return NOT_SERVING if stopping.is_set() else SERVING


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
    "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
    "Bidi": grpc.stream_stream_rpc_method_handler(bidi),
    "Told": grpc.unary_stream_rpc_method_handler(told),
    "Patient": grpc.stream_unary_rpc_method_handler(patient),
    "Echo": grpc.unary_unary_rpc_method_handler(echo),
    "Held": grpc.stream_stream_rpc_method_handler(held),
}


async def main():
    server = aio.server(options=OPTIONS)
    checks = {"Check": grpc.unary_unary_rpc_method_handler(health)}
    server.add_generic_rpc_handlers((
        *(grpc.method_handlers_generic_handler(name, METHODS) for name in (service.SERVICE, service.IMPATIENT)),
        grpc.method_handlers_generic_handler("grpc.health.v1.Health", checks),
    ))
    address = f"127.0.0.1:{PORT}"
    if IDENTITY:
        cert, key = (open(path, "rb").read() for path in IDENTITY)
        server.add_secure_port(address, grpc.ssl_server_credentials([(key, cert)]))
    else:
        server.add_insecure_port(address)
    await server.start()
    print("ready", flush=True)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await stopping.wait()
    # grpcio cancels what arrives from now on: whoever looks at its health has left by then.
    await asyncio.sleep(NOTICE)
    await server.stop(GRACE)


asyncio.run(main())
