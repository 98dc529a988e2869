"""`make demo`: the whole product on this machine, from an upload to a saved label, step by step.

    python -m samples.demo      PORT (7071), AZURITE_PORT (10000), DATA_DIR (.data), KEEP=1 leaves it running

Exits 0 when every step succeeded. SIGTERM and Ctrl-C end it, with everything that it started.
"""

import os
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from azure.core.exceptions import AzureError
from azure.storage.blob import BlobServiceClient

from samples import connection, mails, orders
from samples.api import Api, ApiFailed
from samples.console import Console
from samples.server import KEY, Server, ServerFailed
from samples.shop import Shop

#: The parts of the demo, in order.
PARTS = (
    ("Part 1: classes. Mails to a bike shop", mails.show),
    ("Part 2: entities. Orders to the same shop", orders.show),
    ("Part 3: another studio. The mails are labeled elsewhere, and come back", connection.show),
)


class Stopped(BaseException):
    """A signal asks to end."""

    def __init__(self, number: int) -> None:
        self.number = number


def _on_signal(number: int, _frame: FrameType | None) -> None:
    # Only once: a second signal must not interrupt the cleanup.
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    raise Stopped(number)


def _number(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or int(text) > 65_533:
        raise ServerFailed(
            f"{name}={text} is not a port: set {name} to a number from 0 (any free port) to 65533."
        )
    return int(text)


def _run(console: Console) -> None:
    began = time.monotonic()
    data_dir = Path(os.environ.get("DATA_DIR") or ".data").resolve()
    server = Server(_number("PORT", 7071), _number("AZURITE_PORT", 10000), data_dir)
    with ExitStack() as stack:
        with console.step("Start Azurite, the local Functions host and the event forwarder"):
            stack.enter_context(server)
            console.say(f"Serving at {server.url}; the data is in {data_dir}.")
        api = stack.enter_context(Api(server.url, KEY, server.require_running))
        blobs = BlobServiceClient.from_connection_string(server.connection_string)
        shop = Shop(api, stack.enter_context(blobs), console)
        for title, part in PARTS:
            console.title(title)
            try:
                part(shop)
            except (ApiFailed, AzureError):
                server.blame()
                raise
        console.title(f"Done in {time.monotonic() - began:.0f} s")
        if os.environ.get("KEEP"):
            _keep(console, server)


def _keep(console: Console, server: Server) -> None:
    """Keep it running until a signal arrives, or until it ends by itself."""
    console.show(
        f"Running until Ctrl-C or SIGTERM.\n"
        f"API          {server.url}/language\n"
        f"review page  {server.url}/studio/\n"
        f"key          {KEY}   (header Ocp-Apim-Subscription-Key)\n"
        f"storage      {server.connection_string}"
    )
    try:
        while True:
            server.require_running()
            time.sleep(0.5)
    except Stopped:
        console.say("Stopping.")


def main() -> int:
    """Run the demo; the exit status."""
    console = Console()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _on_signal)
    try:
        _run(console)
    except Stopped as stopped:
        console.say("Stopped before the end; all started processes have ended.")
        return 128 + stopped.number
    except (ServerFailed, ApiFailed, AzureError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        print(
            "To use other ports or another folder, set PORT, AZURITE_PORT and DATA_DIR:\n"
            "  make demo PORT=7080 AZURITE_PORT=10010 DATA_DIR=.data/other\n"
            "If that does not help, run 'make install' and try again.",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
