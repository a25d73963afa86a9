"""A proxy in front of a server on loopback that is slow, breaks off, and flips bits of what it brings back."""

import asyncio
import random
import threading
from contextlib import contextmanager, suppress

_BLOCK = 64 * 2**10  # bytes


class FaultyProxy:
    """Connections to `port` go on to the server's port. What happens to each is drawn from the seed, in their order."""

    def __init__(self, target, seed, slow=0.1, broken=0.05, flipped=0.03):
        """`slow`, `broken`, `flipped`: shares of the connections that wait, end in the middle, bring a flipped bit."""
        self._target = target
        self._rng = random.Random(seed)
        self._shares = (slow, broken, flipped)
        self.port = 0
        self.faults = {"slow": 0, "broken": 0, "flipped": 0}

    async def run(self, ready, end):
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        async with server:
            await end.wait()

    async def _connection(self, reader, writer):
        kind = self._rng.choices([*self.faults, ""], [*self._shares, 1 - sum(self._shares)])[0]
        at = int(2 ** self._rng.uniform(0, 18))  # bytes of answers that come as they are
        with suppress(OSError):
            theirs_reader, theirs_writer = await asyncio.open_connection("127.0.0.1", self._target)
            ways = [
                asyncio.create_task(self._carry(reader, theirs_writer, "", 0)),
                asyncio.create_task(self._carry(theirs_reader, writer, kind, at)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            theirs_writer.close()
        writer.close()

    async def _carry(self, reader, writer, kind, left):
        with suppress(OSError):
            while data := await reader.read(_BLOCK):
                if kind and len(data) > left:
                    self.faults[kind] += 1
                    if kind == "slow":
                        await asyncio.sleep(self._rng.uniform(0.1, 2))
                    if kind == "broken":
                        writer.write(data[:left])
                        await writer.drain()
                        return
                    if kind == "flipped":
                        data = bytearray(data)
                        data[left] ^= 1 << self._rng.randrange(8)
                    kind = ""
                left -= len(data)
                writer.write(data)
                await writer.drain()


@contextmanager
def faulty_proxy(target, seed, **shares):
    """Such a proxy while the block runs."""
    proxy, ready, ends = FaultyProxy(target, seed, **shares), threading.Event(), []

    async def serve():
        end = asyncio.Event()
        ends.append((asyncio.get_running_loop(), end))
        await proxy.run(ready, end)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield proxy
    finally:
        loop, end = ends[0]
        loop.call_soon_threadsafe(end.set)
        thread.join(60)
