"""Which events were delivered, stored on disk, so that no event is lost if the process is killed."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from devhost.children import lock_file

GONE = ""  # the etag of a blob that does not exist


class Acknowledged:
    """For each blob the ETag of the last event that was delivered.

    A file of JSON lines `[container, name, etag]` to which each delivery appends; the last line of a blob
    counts. It is rewritten, atomically, when it is opened. An incomplete last line is ignored: that event is sent
    again.
    """

    def __init__(self, path: Path) -> None:
        self._etags: dict[str, dict[str, str]] = {}
        self._lock = lock_file(
            path.with_suffix(".lock"), f"{path.parent} is in use by another event forwarder"
        )
        for container, name, etag in _entries_in(path):
            self._remember(container, name, etag)
        fresh = path.with_suffix(".new")
        lines = (_line(c, n, e) for c, names in self._etags.items() for n, e in names.items())
        fresh.write_bytes(b"".join(lines))
        fresh.replace(path)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND)

    def _remember(self, container: str, name: str, etag: str) -> None:
        names = self._etags.setdefault(container, {})
        if etag == GONE:
            names.pop(name, None)
        else:
            names[name] = etag

    def names(self, container: str) -> Mapping[str, str]:
        """ETags of the container's blobs that are known to exist, by name."""
        return self._etags.get(container, {})

    def containers(self) -> set[str]:
        """Containers with a blob that is known to exist."""
        return {container for container, names in self._etags.items() if names}

    def add(self, container: str, name: str, etag: str) -> None:
        """Record a delivery; durable when this returns."""
        self._remember(container, name, etag)
        os.write(self._file, _line(container, name, etag))

    def close(self) -> None:
        """Release the file for another forwarder."""
        os.close(self._file)
        os.close(self._lock)


def _line(*values: str) -> bytes:
    return json.dumps(values).encode() + b"\n"


def _entries_in(path: Path) -> Iterator[tuple[str, str, str]]:
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            container, name, etag = json.loads(line)
        except ValueError:
            continue
        yield container, name, etag
