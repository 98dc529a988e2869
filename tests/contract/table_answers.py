"""Answers of the table service as Azure's documentation gives them."""

import json

from tests.contract.fake_service import Scripted


def page(*keys: str, following: dict[str, str] | None = None) -> Scripted:
    """A page of a query as the service sends it: no odata.etag, and null for what `select` asks in vain."""
    rows = [
        {"PartitionKey": "p", "RowKey": key, "Timestamp": "2026-11-24T19:30:01.1234567Z", "absent": None}
        for key in keys
    ]
    headers = {f"x-ms-continuation-{name}": value for name, value in (following or {}).items()}
    return Scripted(200, json.dumps({"value": rows}), headers)


def batch_answer(*parts: str) -> Scripted:
    """The answer to a transaction, in the form of Azure's documentation."""
    head = "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    inner = "".join(f"--changesetresponse_9-a\r\n{head}{part}\r\n" for part in parts)
    body = (
        "--batchresponse_1-f\r\nContent-Type: multipart/mixed; boundary=changesetresponse_9-a\r\n\r\n"
        f"{inner}--changesetresponse_9-a--\r\n--batchresponse_1-f--\r\n"
    )
    return Scripted(202, body, {"Content-Type": "multipart/mixed; boundary=batchresponse_1-f"})


def part(status: str, etag: str = "", body: str = "") -> str:
    lines = [
        f"HTTP/1.1 {status}",
        "Content-ID: 1",
        "X-Content-Type-Options: nosniff",
        "Cache-Control: no-cache",
    ]
    if etag:
        lines.append(f"ETag: {etag}")
    return "\r\n".join(lines) + f"\r\n\r\n{body}\r\n"


def refusal(code: str, message: str) -> str:
    text = f"{message}\nRequestId:1f5a\nTime:2026-11-24T19:30:01Z"
    return json.dumps({"odata.error": {"code": code, "message": {"lang": "en-US", "value": text}}})
