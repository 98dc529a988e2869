"""Indexes the app with Microsoft's library, as a deployment does: a function that it refuses fails here.

    python scripts/index_functions.py [FOLDER]

The settings are those of the local settings file or, where there is none, of its sample.
"""

import asyncio
import re
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from devhost.http import build_router  # noqa: E402
from devhost.routes import Route  # noqa: E402
from devhost.settings import HostError, load_environment, read_host_options  # noqa: E402
from devhost.timers import Schedule  # noqa: E402
from devhost.worker import Function, Worker  # noqa: E402


def hidden_route(routes: list[Route]) -> str | None:
    """The first route hidden by one that the host tries before it; None if each can be reached."""
    for position, hidden in enumerate(routes):
        sample = "/" + re.sub(r"\{.*?\}", "0", hidden.template)
        for hiding in routes[:position]:
            common = hiding.methods is None or hidden.methods is None or hiding.methods & hidden.methods
            if common and hiding.match(sample) is not None:
                return (
                    f"route {hidden.template} of {hidden.function} is hidden by {hiding.template} of"
                    f" {hiding.function}: the host tries functions in the order of their names"
                )
    return None


async def index(app: Path) -> list[Function]:
    """The app's functions. HostError that names the first one that the host would leave out."""
    load_environment(app, azurite_port=10_000)
    options = read_host_options(app)
    functions = await Worker(app, None, lambda: None).load()
    http = [function for function in functions if function.trigger.get("type") == "httpTrigger"]
    router = build_router(http, options.route_prefix)
    for function in functions:
        if function.error:
            raise HostError(f"function {function.name}: {function.error}")
        if function.trigger["type"] == "timerTrigger":
            Schedule(function.trigger["schedule"])
    if hidden := hidden_route(router.routes):
        raise HostError(hidden)
    return functions


def main() -> int:
    """Print what was indexed, by trigger; the exit status."""
    try:
        functions = asyncio.run(index(Path(*sys.argv[1:2] or [ROOT]).resolve()))
    except HostError as error:
        print(f"index: {error}", file=sys.stderr)
        return 1
    kinds = Counter(function.trigger["type"] for function in functions)
    print(
        f"index: {len(functions)} functions ({', '.join(f'{n} {kind}' for kind, n in sorted(kinds.items()))})"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
