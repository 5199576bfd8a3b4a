"""A gRPC client: `client.py TARGET FIRST COUNT STREAMS [AUTHORITY]`. It makes COUNT calls of each kind to TARGET,
over TLS if it is given an authority to trust, STREAMS at a time on a few channels, checks what comes back, and
prints a line of JSON per call that did not end as it should, and one now and then that says how far it is. Meanwhile
it holds one more call on each channel, which lives as long as the others take.
"""

import asyncio
import json
import sys
import time
from collections import Counter

import grpc
from grpc import aio

import service

TARGET, FIRST, COUNT, STREAMS = sys.argv[1], *map(int, sys.argv[2:5])
AUTHORITY = sys.argv[5:]
CHANNELS = 3
LIMIT = 60  # s, for each call: what hangs has failed
HELD_PAUSE = 0.1
HELD_FIRST = 1 << 40

counts = Counter()


def say(**words):
    print(json.dumps(words), flush=True)


def channel(number):
    # Equal ones would share a connection.
    options = [("grpc.use_local_subchannel_pool", 1), ("evener.channel", number)]
    if AUTHORITY:
        trusted = grpc.ssl_channel_credentials(open(AUTHORITY[0], "rb").read())
        return aio.secure_channel(TARGET, trusted, options=options)
    return aio.insecure_channel(TARGET, options=options)


def metadata(call):
    return (("x-request-id", str(call)), ("x-token-bin", service.token(call)))


def wrong(what, got, wanted):
    if got != wanted:
        raise ValueError(f"{what}: {got!r:.200}, not {wanted!r:.200}")


async def check_end(rpc, call, sent, got):
    """The metadata, and the status."""
    before, after = dict(await rpc.initial_metadata()), dict(await rpc.trailing_metadata())
    # grpcio does not always have it of a failed call without a message.
    if got or before:
        wrong("initial metadata", before.get("x-token-bin"), service.token(call))
    wrong("trailer", after.get("x-call"), str(call))
    wrong("digest of what arrived", after.get("x-digest-bin"), service.digest(sent))
    if service.fails(call):
        wrong("status", await rpc.code(), grpc.StatusCode.FAILED_PRECONDITION)
        wrong("message", await rpc.details(), service.DETAILS)
    else:
        wrong("status", await rpc.code(), grpc.StatusCode.OK)


def is_asked_for(error, call):
    return service.fails(call) and error.code() is grpc.StatusCode.FAILED_PRECONDITION


async def one(channel, kind, call):
    sent, got = service.sent(kind, call), []
    options = {"metadata": metadata(call), "timeout": LIMIT}
    where = service.path(kind)
    turns = asyncio.Queue()

    async def requests():
        for index, each in enumerate(sent):
            # Half of the calls talk in turns, the others send all at once.
            if kind == "Bidi" and call % 2 and index:
                await turns.get()
            yield each

    rpc = None
    try:
        if kind == "Unary":
            rpc = channel.unary_unary(where)(sent[0], **options)
            got.append(await rpc)
        elif kind == "ClientStream":
            rpc = channel.stream_unary(where)(requests(), **options)
            got.append(await rpc)
        else:
            rpc = (
                channel.unary_stream(where)(sent[0], **options)
                if kind == "ServerStream"
                else channel.stream_stream(where)(requests(), **options)
            )
            async for each in rpc:
                got.append(each)
                turns.put_nowait(None)
    except aio.AioRpcError as error:
        if not is_asked_for(error, call):
            raise
    finally:
        for _ in sent:
            turns.put_nowait(None)
    wrong("messages", got, service.answered(kind, call))
    await check_end(rpc, call, sent, got)


async def accounted(kind, call, running):
    """Awaits a call, and says so if it did not end as it should."""
    began = time.time()
    try:
        await running
        counts[kind] += 1
        return
    except aio.AioRpcError as error:
        ending = {"code": error.code().name, "details": error.details()}
    except ValueError as error:
        ending = {"code": None, "details": str(error)}
    say(failed=call, kind=kind, began=began, ended=time.time(), **ending)


async def hold(channel, call, stopping):
    """One message at a time for as long as there is load; afterwards the call ends as any other."""
    rpc = channel.stream_stream(service.path(service.HELD))(metadata=metadata(call))
    try:
        await talk(rpc, call, stopping)
    except asyncio.InvalidStateError:  # it has ended before a message was written
        if await rpc.code() is not grpc.StatusCode.OK:
            raise await ending(rpc) from None


async def ending(rpc):
    return aio.AioRpcError(
        await rpc.code(), await rpc.initial_metadata(), await rpc.trailing_metadata(), await rpc.details()
    )


async def talk(rpc, call, stopping):
    index = 0
    while not stopping.is_set():
        asked = service.message(call, index)
        await rpc.write(asked)
        answer = await rpc.read()
        if answer is aio.EOF and index and await rpc.code() is grpc.StatusCode.OK:
            return  # its server is being stopped
        if answer is aio.EOF:
            raise await ending(rpc)
        wrong("message of a held call", answer, asked)
        counts["held messages"] += 1
        index += 1
        await asyncio.sleep(HELD_PAUSE)
    await rpc.done_writing()
    wrong("end of a held call", await rpc.read(), aio.EOF)
    wrong("status", await rpc.code(), grpc.StatusCode.OK)


async def holding(channel, number, stopping):
    """Held calls, one after the other, since one may lose its endpoint."""
    call = HELD_FIRST + FIRST * CHANNELS * 1000 + number * 1000
    while not stopping.is_set():
        counts["held calls"] += 1
        await accounted(service.HELD, call, hold(channel, call, stopping))
        call += 1


async def load(channels, calls):
    for turn in calls:
        for index, kind in enumerate(service.KINDS):
            call = turn * len(service.KINDS) + index
            await accounted(kind, call, one(channels[call % CHANNELS], kind, call))


async def report():
    while True:
        await asyncio.sleep(0.5)
        say(counts=counts)


async def main():
    channels = [channel(number) for number in range(CHANNELS)]
    stopping = asyncio.Event()
    reporting = asyncio.create_task(report())
    held = [asyncio.create_task(holding(each, number, stopping)) for number, each in enumerate(channels)]
    calls = iter(range(FIRST, FIRST + COUNT))
    await asyncio.gather(*[load(channels, calls) for _ in range(STREAMS)])
    stopping.set()
    await asyncio.wait_for(asyncio.gather(*held), LIMIT)
    reporting.cancel()
    for each in channels:
        await each.close()
    say(counts=counts)


asyncio.run(main())
