"""The command line. See the package's docstring."""

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from devhost.delivery import TOPIC, DeliveryOptions
from devhost.events import Disturbance, EventOptions, forwarder
from devhost.output import log
from devhost.settings import HostError, local_values
from devhost.supervisor import SupervisorArguments, run_supervisor


def _add_host(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--app", type=Path, required=True, help="folder of function_app.py and host.json")
    parser.add_argument("--port", type=int, default=7071, help="0 takes a free port")
    parser.add_argument("--verbose", action="store_true", help="show what the app and the libraries log")


def _add_events(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--documents-container", help="default: the setting DOCUMENTS_CONTAINER, or documents"
    )
    parser.add_argument(
        "--exclude", action="append", metavar="PREFIX",
        help="containers to leave out; default: the setting TABLE_PREFIX (or labelbridge), azure-webjobs-, $",
    )  # fmt: skip
    parser.add_argument(
        "--cloud-events", action="store_true", help="CloudEvents 1.0 instead of Event Grid's schema"
    )
    parser.add_argument(
        "--topic", default=TOPIC, help="resource id of the storage account, as events name it"
    )
    parser.add_argument("--max-events-per-batch", type=int, default=1)
    parser.add_argument("--concurrency", type=int, default=16, help="posts at the same time")
    parser.add_argument(
        "--retry-scale",
        type=float,
        default=0.1,
        help="multiplies Event Grid's pauses: 10 s, 30 s, 1 min .. 1 h",
    )
    for chance in ("duplicate", "drop"):
        parser.add_argument(
            f"--{chance}", type=float, default=0.0, metavar="CHANCE", help="0 to 1; for tests"
        )
    parser.add_argument(
        "--delay", type=float, default=0.0, help="most seconds an event is held back; for tests"
    )
    parser.add_argument(
        "--reorder", type=int, default=1, help="events are shuffled in groups of so many; for tests"
    )
    parser.add_argument("--seed", type=int, help="makes the chances repeatable")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m devhost")
    commands = parser.add_subparsers(dest="command", required=True)

    host = commands.add_parser("host", help="run a function app against an emulator that already runs")
    _add_host(host)
    host.add_argument("--azurite-port", type=int, help="Azurite's blob port; queue and table ports follow it")
    host.add_argument(
        "--enable-auth", type=Path, metavar="FILE", help='JSON with keys: {"master", "function", "system"}'
    )
    host.add_argument("--stop-seconds", type=float, default=10.0, help="for running invocations at the end")
    host.add_argument("--message-invisibility", type=int, default=600, help="seconds, as in the real host")

    events = commands.add_parser("events", help="post events for what happens in the emulator's containers")
    events.add_argument("--azurite-port", type=int, required=True)
    events.add_argument("--target", required=True, help="address of the host")
    events.add_argument("--data-dir", type=Path, required=True, help="where deliveries are remembered")
    events.add_argument("--interval", type=float, default=0.5, help="seconds between looks")
    _add_events(events)

    run = commands.add_parser("run", help="start Azurite, the host and the events together")
    _add_host(run)
    run.add_argument("--azurite-port", type=int, default=10000, help="0 takes free ports")
    run.add_argument(
        "--azurite", type=Path, help="the program; default: node_modules/.bin/azurite, or the path's"
    )
    run.add_argument("--data-dir", type=Path, required=True, help="everything that is kept")
    run.add_argument("--health", default="/health", help="path that answers 200 when the app is ready")
    _add_events(run)
    return parser


def _event_options(options: argparse.Namespace, settings: dict[str, str]) -> EventOptions:
    settings = {**settings, **os.environ}
    prefix = settings.get("TABLE_PREFIX") or "labelbridge"
    return EventOptions(
        azurite_port=options.azurite_port,
        data_dir=options.data_dir,
        documents_container=options.documents_container or settings.get("DOCUMENTS_CONTAINER") or "documents",
        exclude=tuple(options.exclude or (prefix, "azure-webjobs-", "$")),
        interval=getattr(options, "interval", 0.5),
        delivery=DeliveryOptions(
            target=getattr(options, "target", ""),
            cloud_events=options.cloud_events,
            events_per_batch=options.max_events_per_batch,
            concurrency=options.concurrency,
            retry_scale=options.retry_scale,
            topic=options.topic,
        ),
        disturbance=Disturbance(
            options.duplicate, options.drop, options.delay, options.reorder, options.seed
        ),
    )


async def _forward(options: EventOptions) -> None:
    async with forwarder(options) as made:
        running = asyncio.create_task(made.run())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, running.cancel)
        await asyncio.wait({running})
        if not running.cancelled():
            running.result()


def _run_events(options: argparse.Namespace) -> int:
    try:
        asyncio.run(_forward(_event_options(options, {})))
    except HostError as error:
        log(f"devhost: {error}")
        return 1
    return 0


def _run_host(options: argparse.Namespace) -> int:
    # The other commands do without the SDKs and start the faster for it.
    from devhost.host import HostArguments, run_host
    from devhost.http import Keys

    keys = Keys(**json.loads(options.enable_auth.read_text())) if options.enable_auth else None
    return run_host(
        HostArguments(
            app=options.app.resolve(),
            port=options.port,
            azurite_port=options.azurite_port,
            keys=keys,
            stop_seconds=options.stop_seconds,
            message_invisibility=options.message_invisibility,
            verbose=options.verbose,
        )
    )


def _run_all(options: argparse.Namespace) -> int:
    return run_supervisor(
        SupervisorArguments(
            app=options.app.resolve(),
            port=options.port,
            azurite_port=options.azurite_port,
            azurite=options.azurite,
            data_dir=options.data_dir.resolve(),
            health=options.health,
            verbose=options.verbose,
            events=_event_options(options, local_values(options.app)),
        )
    )


def main() -> int:
    """Run a command; the exit status."""
    options = _parser().parse_args()
    return {"host": _run_host, "events": _run_events, "run": _run_all}[options.command](options)


if __name__ == "__main__":
    sys.exit(main())
