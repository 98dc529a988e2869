"""The command line. See the package's docstring."""

import argparse
import json
import sys
from pathlib import Path

from devhost.host import HostArguments, run_host
from devhost.http import Keys


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="devhost", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    host = commands.add_parser("host", help="run a function app against a storage emulator that already runs")
    host.add_argument("--app", type=Path, required=True, help="folder of function_app.py and host.json")
    host.add_argument("--port", type=int, default=7071, help="0 takes a free port")
    host.add_argument(
        "--azurite-port", type=int, help="blob port of Azurite; queue and table ports follow it"
    )
    host.add_argument(
        "--enable-auth", type=Path, metavar="FILE", help='JSON {"master", "function", "system"} keys'
    )
    host.add_argument(
        "--stop-seconds", type=float, default=10.0, help="how long running invocations may take to end"
    )
    host.add_argument("--message-invisibility", type=int, default=600, help="seconds, as in the real host")
    host.add_argument("--verbose", action="store_true")
    return parser


def main() -> int:
    """Run a command; the exit status."""
    options = _parser().parse_args()
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


if __name__ == "__main__":
    sys.exit(main())
