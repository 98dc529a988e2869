"""Runs a small aiohttp application on a free port of this machine, in the loop of the test or in a thread."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager

from aiohttp import web


@asynccontextmanager
async def serve(app: web.Application) -> AsyncIterator[str]:
    """The address, while it runs."""
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@contextmanager
def serve_in_thread(app: web.Application) -> Iterator[str]:
    """The address, while it runs; for programs that are started before there is a loop."""
    started: Future[tuple[str, asyncio.AbstractEventLoop]] = Future()
    done = asyncio.Event()

    async def run() -> None:
        async with serve(app) as url:
            started.set_result((url, asyncio.get_running_loop()))
            await done.wait()

    # asyncio.run also ends the tasks of connections that clients kept open.
    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    address, loop = started.result(20)
    try:
        yield address
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(20)
