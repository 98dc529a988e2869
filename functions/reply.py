"""Answers of HTTP functions."""

import json
from dataclasses import dataclass, field
from typing import Any

import azure.functions as func

JSON = "application/json; charset=utf-8"


def listed(value: list[Any], token: str | None) -> "Reply":
    """One page of a list; `token` tells where the next begins."""
    return Reply(200, {"value": value} | ({"continuationToken": token} if token else {}))


@dataclass(slots=True)
class Reply:
    """`data` is JSON, or bytes together with their content type."""

    status: int
    data: Any = None
    headers: dict[str, str] = field(default_factory=dict[str, str])
    content_type: str = JSON

    def body(self) -> bytes:
        if self.data is None:
            return b""
        if isinstance(self.data, bytes):
            return self.data
        return json.dumps(self.data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")

    def render(self) -> func.HttpResponse:
        body = self.body()
        mimetype, _, charset = self.content_type.partition("; charset=")
        return func.HttpResponse(
            body, status_code=self.status, headers=self.headers, mimetype=mimetype, charset=charset or "utf-8"
        )
