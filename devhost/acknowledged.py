"""What Event Grid's part has delivered: kept on disk, so that a kill loses no event."""

import fcntl
import json
import os
from pathlib import Path

from devhost.settings import HostError

GONE = ""  # the etag of a blob that does not exist


class Acknowledged:
    """For each blob the ETag of the last event that was delivered.

    A file of JSON lines `[container, name, etag]` to which each delivery appends; the last line of a blob
    counts. It is rewritten, atomically, when it is opened. A line that a kill cut short is ignored, so that
    event goes out again.
    """

    def __init__(self, path: Path) -> None:
        self._etags: dict[str, dict[str, str]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise HostError(f"{path.parent} is in use by another event forwarder") from error
        if path.exists():
            self._read(path)
        fresh = path.with_suffix(".new")
        lines = (self._line(c, n, e) for c, names in self._etags.items() for n, e in names.items())
        fresh.write_bytes(b"".join(lines))
        fresh.replace(path)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND)

    def _read(self, path: Path) -> None:
        for line in path.read_bytes().splitlines():
            try:
                container, name, etag = json.loads(line)
            except ValueError:
                continue
            self._remember(container, name, etag)

    @staticmethod
    def _line(container: str, name: str, etag: str) -> bytes:
        return json.dumps([container, name, etag]).encode() + b"\n"

    def _remember(self, container: str, name: str, etag: str) -> None:
        names = self._etags.setdefault(container, {})
        if etag == GONE:
            names.pop(name, None)
        else:
            names[name] = etag

    def etag(self, container: str, name: str) -> str:
        """ETag of the last event delivered for a blob, GONE without one or after a deletion."""
        return self._etags.get(container, {}).get(name, GONE)

    def names(self, container: str) -> set[str]:
        """Names of the container's blobs that are known to exist."""
        return set(self._etags.get(container, ()))

    def count(self, container: str) -> int:
        """How many of the container's blobs are known to exist."""
        return len(self._etags.get(container, ()))

    def containers(self) -> set[str]:
        """Containers with a blob that is known to exist."""
        return {container for container, names in self._etags.items() if names}

    def add(self, container: str, name: str, etag: str) -> None:
        """Note a delivery. When this returns, a kill of this process no longer loses it."""
        self._remember(container, name, etag)
        os.write(self._file, self._line(container, name, etag))

    def close(self) -> None:
        """Let another forwarder have the file."""
        os.close(self._file)
        os.close(self._lock)
