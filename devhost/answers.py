"""The host's own responses, given on demand: tests see how clients handle responses that the app never gives."""

import json
from pathlib import Path
from typing import Any

from devhost.keys import UNAUTHORIZED
from devhost.output import log
from devhost.server import Request, Response

TEXT = (("Content-Type", "text/plain; charset=utf-8"),)

ANSWERS = {status: Response(status) for status in (400, 403, 408, 414, 431, 500)} | {
    401: Response(401, headers=UNAUTHORIZED),
    429: Response(429, headers=(("X-FUNCTION-SCALEOUT", "1"),)),
    503: Response(503, b"Function host is not running.", TEXT),
}


class Answers:
    """Reads a file with a JSON list of `{"path": prefix, "method": "POST", "status": 429, "times": 2}`.

    The first entry that fits a request answers it; without `method` it fits every method, without `times` it
    answers always. The file may come, change and go while the host runs.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._changed = 0
        self._entries: list[dict[str, Any]] = []

    def find(self, request: Request) -> Response | None:
        """The response that the file defines; None if the request is handled as usual."""
        if self._file is None:
            return None
        self._reload(self._file)
        for entry in self._entries:
            fits = request.path.startswith(entry["path"]) and entry.get("times", 1) > 0
            if fits and entry.get("method", request.method).upper() == request.method.upper():
                if "times" in entry:
                    entry["times"] -= 1
                return ANSWERS[entry["status"]]
        return None

    def _reload(self, file: Path) -> None:
        try:
            changed = file.stat().st_mtime_ns
            if changed != self._changed:
                self._changed, self._entries = changed, []
                entries = json.loads(file.read_text())
                self._entries = [entry for entry in entries if entry["path"] and ANSWERS[entry["status"]]]
        except FileNotFoundError:
            self._changed, self._entries = 0, []
        except (ValueError, LookupError, TypeError) as error:
            log(f"devhost: {file} is not a list of answers: {error}")
