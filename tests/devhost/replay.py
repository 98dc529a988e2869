"""Sends recorded requests and messages to a host, and compares the results with the recording."""

import base64
import io
import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, IncompleteRead
from pathlib import Path
from typing import Any

RECORDINGS = Path(__file__).parent / "recordings"
LEFT_OUT = {"date", "server", "connection", "transfer-encoding", "keep-alive"}

type Case = dict[str, Any]


def recorded(name: str) -> list[Case]:
    return [json.loads(line) for line in (RECORDINGS / f"{name}.jsonl").read_text().splitlines()]


@dataclass(frozen=True)
class Placeholders:
    """Values for `{master}` and the other placeholders of the recordings."""

    values: Mapping[str, str]

    def fill(self, text: str) -> str:
        for name, value in self.values.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def request(self, text: str) -> bytes:
        head, end, body = self.fill(text).partition("\r\n\r\n")
        return (head.replace("{length}", str(len(body.encode("latin-1")))) + end + body).encode("latin-1")

    def expectation(self, value: Any) -> Any:
        return json.loads(self.fill(json.dumps(value)))


class _Received:
    """What http.client needs of a socket."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def makefile(self, *_arguments: Any, **_options: Any) -> io.BytesIO:
        return self._file


def exchange(port: int, request: bytes, method: str) -> Case:
    """Status, headers, chunked and body of an answer; the status is None when none came."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        with suppress(OSError):
            connection.sendall(request)
        with suppress(OSError):
            while part := connection.recv(65536):
                received += part
    while received.startswith(b"HTTP/1.1 100"):
        received = received.partition(b"\r\n\r\n")[2]
    try:
        response = HTTPResponse(_Received(received), method=method)  # type: ignore[arg-type]
        response.begin()
        try:
            body = response.read()
        except IncompleteRead as error:
            body = error.partial
    except (HTTPException, ValueError):
        return {"status": None, "headers": [], "chunked": False, "body": received[:200].decode("latin-1")}
    headers = [(name.lower(), value) for name, value in response.getheaders()]
    return {
        "status": response.status,
        "headers": sorted([name, value] for name, value in headers if name not in LEFT_OUT),
        "chunked": ("transfer-encoding", "chunked") in headers,
        "body": _parsed(body),
    }


def _parsed(body: bytes) -> Any:
    with suppress(ValueError):
        value = json.loads(body)
        if isinstance(value, dict | list):
            return value
    return body.decode("latin-1")


def differences(case: Case, got: Case, placeholders: Placeholders) -> Case:
    """(recorded, got) of each property of the answer that differs."""
    unstable = set(case.get("unstable", []))
    if "body_left_out" in case:
        unstable |= {"body", "content-length"}
    found: Case = {}
    for name in ("status", "headers", "chunked", "body", "ran", "poison", "exit_code", "left_in_queue"):
        if case.get(name) is None or name not in got or any(u.split(",")[0] == name for u in unstable):
            continue
        expected, actual = placeholders.expectation(case[name]), got[name]
        if name == "headers":
            expected, actual = (sorted(h for h in v if h[0] not in unstable) for v in (expected, actual))
        elif name == "body":
            actual = without(actual, case.get("left_out", []))
        elif name == "ran":
            dropped = {path.removeprefix("ran.") for path in unstable} | {"at"}
            rows = ({k: v for k, v in row.items() if k not in dropped} for row in actual)
            actual = sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))
        if expected != actual:
            found[name] = (expected, actual)
    return found


def without(value: Any, names: list[str]) -> Any:
    """A JSON value without the properties of these names, at any depth."""
    if isinstance(value, dict):
        return {name: without(item, names) for name, item in value.items() if name not in names}
    return [without(item, names) for item in value] if isinstance(value, list) else value


def text_of(case: Case) -> str:
    """The text of a recorded queue message."""
    if case["message"] is not None:
        return case["message"]
    letter, count = case["message_of"]["base64_of"]
    return base64.b64encode(letter.encode() * count).decode()
