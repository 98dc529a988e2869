"""A receiver of webhooks: it checks the signature, drops repeats, and prints each event once, as a line of JSON.

    WEBHOOK_SECRET=... python -m samples.webhook_receiver --port 8080 --seen events.db

The ids of events are kept in a file of SQLite, so that a repeat is known after a restart, too. An event is printed
before its id is kept and the request is answered: what is interrupted in between arrives again.
"""

import argparse
import hashlib
import hmac
import json
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, override

#: Seconds that the time of a signature may differ from ours.
TOLERANCE = 300
MAX_BODY = 1024 * 1024

type Event = dict[str, Any]


def is_genuine(header: str, body: bytes, secret: str, now: float) -> bool:
    """Whether a request with this header `Labelbridge-Signature` and this body was signed with the secret just now."""
    parts = [part.partition("=") for part in header.split(",")]
    sent = next((value for name, _, value in parts if name == "t"), "")
    if not (sent.isascii() and sent.isdecimal() and len(sent) < 20) or abs(now - int(sent)) > TOLERANCE:
        return False
    expected = hmac.new(secret.encode(), f"{sent}.".encode() + body, hashlib.sha256).hexdigest()
    given = [value.encode(errors="replace") for name, _, value in parts if name == "v1"]
    return any(hmac.compare_digest(expected.encode(), value) for value in given)


class Inbox:
    """Handles each event once, by its id. `repeats`: how many were dropped."""

    def __init__(self, file: Path, handle: Callable[[Event], None]) -> None:
        self._database = sqlite3.connect(file, check_same_thread=False)
        self._database.execute("CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY)")
        self._handle = handle
        self._lock = threading.Lock()
        self.repeats = 0

    def take(self, event: Event) -> None:
        """Handle an event that was not handled before."""
        key = f"{event['source']} {event['id']}"
        with self._lock, closing(self._database.cursor()) as cursor:
            if cursor.execute("SELECT 1 FROM seen WHERE id = ?", (key,)).fetchone():
                self.repeats += 1
                return
            self._handle(event)
            cursor.execute("INSERT INTO seen VALUES (?)", (key,))
            self._database.commit()

    def close(self) -> None:
        self._database.close()


class Receiver(ThreadingHTTPServer):
    """Answers 204 for an event, 401 for a wrong signature, 400 for what is no event."""

    def __init__(self, port: int, secret: str, inbox: Inbox) -> None:
        self.secret = secret
        self.inbox = inbox
        super().__init__(("127.0.0.1", port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_BODY:
            self.close_connection = True
            return self._answer(413)
        body = self.rfile.read(int(length))
        if not is_genuine(
            self.headers.get("Labelbridge-Signature", ""), body, self.server.secret, time.time()
        ):
            return self._answer(401)
        try:
            event = json.loads(body)
            _ = event["source"], event["id"]
        except (ValueError, TypeError, LookupError):
            return self._answer(400)
        self.server.inbox.take(event)
        return self._answer(204)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    @override
    def log_message(self, format: str, *args: Any) -> None:
        return


def main() -> int:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--seen", type=Path, default=Path("events.db"), help="file with the ids of events")
    arguments = parser.parse_args()
    secret = os.environ.get("WEBHOOK_SECRET", "")
    if not secret:
        print(
            "Set WEBHOOK_SECRET to the secret that WEBHOOK_SECRETS of the app has for this webhook.",
            file=sys.stderr,
        )
        return 2
    inbox = Inbox(arguments.seen, lambda event: print(json.dumps(event), flush=True))
    with closing(inbox), Receiver(arguments.port, secret, inbox) as server:
        print(f"Listening on http://127.0.0.1:{server.server_port}/", file=sys.stderr, flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
