"""A WebSocket server that sends back every message; says its port first."""

import asyncio

from websockets.legacy.server import serve


async def echo(connection):
    async for message in connection:
        await connection.send(message)


async def main():
    options = {"max_size": None, "ping_interval": None, "max_queue": 4}
    async with serve(echo, "127.0.0.1", 0, **options) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main())
