"""The command line. See the package's docstring."""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from devhost.delivery import TOPIC, DeliveryOptions
from devhost.events import Disturbance, EventOptions, forwarder
from devhost.output import log
from devhost.settings import HostError, local_values, resolve
from devhost.supervisor import SupervisorArguments, run_supervisor


def _path(text: str) -> Path:
    return Path(text).resolve()


def _add_app(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--app", type=_path, required=True, help="folder of function_app.py and host.json")
    add("--port", type=int, default=7071, help="0: any free port")
    add("--verbose", action="store_true", help="show logs of the app and the libraries")


def _add_host(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    keys = "JSON: master, function, eventgrid_extension, blobs_extension (or system for both)"
    add("--azurite-port", type=int, help="Azurite's blob port; queue and table ports follow it")
    add("--enable-auth", type=_path, metavar="FILE", help=keys)
    add("--strict", action="store_true", help="stop if a function cannot be served")
    add(
        "--no-settings-file",
        dest="settings_file",
        action="store_false",
        help="read settings from the environment only",
    )
    add("--answers", type=_path, metavar="FILE", help="responses of the host on demand: see answers.py")
    add("--stop-seconds", type=float, default=10.0, help="grace period for running invocations at shutdown")
    add("--message-invisibility", type=int, default=600, help="seconds, as in the real host")


def _add_events(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    excluded = "containers without events; %%NAME%% is a setting, and excludes nothing where it is not set"
    add("--exclude", action="append", default=["azure-webjobs-", "$"], metavar="PREFIX", help=excluded)
    add("--event-function", dest="event_functions", action="append", help="Event Grid triggers; default: all")
    add("--cloud-events", action="store_true", help="CloudEvents 1.0 instead of Event Grid's schema")
    add("--topic", default=TOPIC, help="resource id of the storage account, as events name it")
    add("--max-events-per-batch", dest="events_per_batch", type=int, default=1)
    add("--concurrency", type=int, default=16, help="concurrent posts")
    add("--retry-scale", type=float, default=0.1, help="factor for Event Grid's pauses: 10 s, 30 s, .. 1 h")
    for chance in ("duplicate", "drop"):
        add(f"--{chance}", type=float, default=0.0, metavar="CHANCE", help="0 to 1; for tests")
    add("--delay", type=float, default=0.0, help="longest delay of an event in seconds; for tests")
    add("--reorder", type=int, default=1, help="size of the groups in which events are shuffled; for tests")
    add("--seed", type=int, help="seed of the random faults")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m devhost")
    commands = parser.add_subparsers(dest="command", required=True)

    host = commands.add_parser("host", help="run a function app against an emulator that already runs")
    _add_app(host)
    _add_host(host)

    events = commands.add_parser("events", help="post events for what happens in the emulator's containers")
    events.add_argument("--azurite-port", type=int, required=True)
    events.add_argument("--target", required=True, help="address of the host")
    events.add_argument("--key", help="the host's master key, if it requires keys")
    events.add_argument("--app", type=_path, help="folder of the app, whose local settings resolve %%NAME%%")
    events.add_argument("--data-dir", type=_path, required=True, help="where deliveries are kept")
    events.add_argument("--interval", type=float, default=0.5, help="seconds between scans")
    _add_events(events)

    run = commands.add_parser("run", help="start Azurite, the host and the events together")
    _add_app(run)
    run.add_argument("--azurite-port", type=int, default=10000, help="0: any free ports")
    run.add_argument("--azurite", type=Path, help="the program; default: that of node_modules, or on PATH")
    run.add_argument("--data-dir", type=_path, required=True, help="where all data is kept")
    run.add_argument("--health", default="/health", help="path that answers 200 when the app is ready")
    run.add_argument(
        "--say", default="", metavar="TEXT", help="printed after the ready line; {address} is the host's"
    )
    _add_events(run)
    return parser


def _made[T](kind: type[T], options: argparse.Namespace, **more: Any) -> T:
    """A dataclass whose fields are the options of the same names."""
    names = {field.name for field in fields(cast("Any", kind))} & vars(options).keys()
    return kind(**{name: getattr(options, name) for name in names} | more)


def _event_options(options: argparse.Namespace) -> EventOptions:
    settings = {**(local_values(options.app) if options.app else {}), **os.environ}
    return _made(
        EventOptions,
        options,
        exclude=tuple(_excluded(options.exclude, settings)),
        delivery=_made(DeliveryOptions, options, settings=settings),
        disturbance=_made(Disturbance, options),
    )


def _excluded(prefixes: list[str], settings: dict[str, str]) -> Iterator[str]:
    for prefix in prefixes:
        with contextlib.suppress(HostError):
            yield resolve(prefix, settings)


async def _forward(options: EventOptions) -> None:
    async with forwarder(options) as made:
        running = asyncio.create_task(made.run())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, running.cancel)
        await asyncio.wait({running})
        if not running.cancelled():
            running.result()


def _run(options: argparse.Namespace) -> int:
    if options.command == "host":
        # The other commands start faster without the SDKs.
        from devhost.host import HostArguments, run_host

        return run_host(_made(HostArguments, options))
    if options.command == "run":
        return run_supervisor(_made(SupervisorArguments, options, events=_event_options(options)))
    asyncio.run(_forward(_event_options(options)))
    return 0


def main() -> int:
    """Run a command; the exit status."""
    try:
        return _run(_parser().parse_args())
    except HostError as error:
        log(f"devhost: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
