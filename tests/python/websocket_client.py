"""Talks WebSocket to an echo server through a proxy: URL PROXY CA. Fails on the first thing that is not as it was sent."""

import asyncio
import os
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

URL, PROXY, CA = sys.argv[1:]
SIZES = [0, 1, 125, 126, 127, 128, 65535, 65536, 65537, 3_000_000]


def options(compression):
    context = ssl.create_default_context(cafile=CA) if URL.startswith("wss:") else None
    return {
        "proxy": PROXY,
        "ssl": context,
        "compression": compression,
        "max_size": None,
        "ping_interval": None,
    }


async def messages(compression):
    async with connect(URL, **options(compression)) as socket:
        extensions = [extension.name for extension in socket.protocol.extensions]
        assert extensions == (["permessage-deflate"] if compression else []), extensions
        for size in SIZES:
            for message in (os.urandom(size), "\u00e9" * (size // 2), b"a" * size):
                await socket.send(message)
                assert await socket.recv() == message, size
        # In pieces, with control frames between them.
        for count in (1, 2, 7, 300):
            pieces = [os.urandom(n * 37 % 4096) for n in range(count)]

            async def sent():
                for n, piece in enumerate(pieces):
                    if n % 50 == 1:
                        await socket.ping(b"between %d" % n)
                    yield piece

            await socket.send(sent())
            assert await socket.recv() == b"".join(pieces), count
        # Many under way at once.
        many = [os.urandom(n * 13 % 2000) for n in range(500)]

        async def send():
            for message in many:
                await socket.send(message)

        sending = asyncio.create_task(send())
        for message in many:
            assert await socket.recv() == message
        await sending
        for payload in (b"", b"x", os.urandom(125)):
            await (await socket.ping(payload))


async def closes():
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]:
        for reason in ("", "bye", "\u00e9" * 61):
            socket = await connect(URL, **options(None))
            await socket.send("hello")
            await socket.close(code, reason)
            # What the server has echoed of the close frame.
            assert socket.close_code == code, (code, socket.close_code)
            assert socket.protocol.close_rcvd.reason == reason
    socket = await connect(URL, **options(None))
    # A server that sees no close frame, but the end.
    socket.transport.write_eof() if socket.transport.can_write_eof() else socket.transport.close()
    try:
        await asyncio.wait_for(socket.recv(), 20)
        raise AssertionError("a message after the end")
    except ConnectionClosed:
        pass


async def main():
    await messages("deflate")
    await messages(None)
    await closes()


asyncio.run(main())
