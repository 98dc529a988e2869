"""The functions of the app, one file per feature. Each parses the request, calls one use case, and responds."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.runtime.container import Container


def container() -> "Container":
    """The services of this process, imported with their dependencies on first use: a worker has 10 s to start."""
    from shared.runtime.container import container as of_process

    return of_process()
