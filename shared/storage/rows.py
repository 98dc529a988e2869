"""Rows of table `projects`: their keys, and JSON packed into binary properties.

A property takes 64 KiB, a row 1 MiB.
"""

import json
import zlib
from collections.abc import Mapping
from typing import Any

from shared.domain.jobs import JobKind
from shared.storage.gateways.ports import Value

INDEX = "$index"
IDEMPOTENCY = "$idempotency"
LAST = "~"  # above every character that our keys hold


def project_key(name: str) -> str:
    return f"name|{name}"


def container_key(container_name: str, project_name: str = "") -> str:
    return f"container|{container_name}|{project_name}"


def page_key(edition: str, number: int) -> str:
    return f"page|{edition}|{number:04d}"


def head_key(edition: str, number: int) -> str:
    return f"head|{edition}|{number:04d}"


def history_key(number: int, seq: int | None = None) -> str:
    """Newest last. Without `seq` the prefix of all rows of the page."""
    return f"history|{number:04d}|" if seq is None else f"history|{number:04d}|{seq:017d}"


def job_key(kind: JobKind, job_id: str = "") -> str:
    return f"job|{kind}|{job_id}"


def open_job_key(kind: JobKind, job_id: str) -> str:
    """Marks a job that has not ended, so that a sweep need not read all jobs."""
    return f"open|{kind}|{job_id}"


def job_key_of_open(key: str) -> str:
    return "job" + key.removeprefix("open")


def batch_key(job_id: str, number: int | None = None) -> str:
    return f"batch|{job_id}|" if number is None else f"batch|{job_id}|{number:04d}"


def model_key(label: str) -> str:
    return f"model|{label}"


def guidelines_key(version: int | None = None) -> str:
    """Newest first. Without `version` the prefix of all versions."""
    return "guidelines|" if version is None else f"guidelines|{99_999_999 - version:08d}"


def fit_key(engine: str) -> str:
    return f"fit|{engine}"


def rate_key(service: str) -> str:
    return f"rate|{service}"


def latest_key(kind: str) -> str:
    """Names the latest job of a kind of which one runs at a time, or the latest that a plan created."""
    return f"latest|{kind}"


def usage_key(engine: str, month: str) -> str:
    return f"usage|{engine}|{month}"


#: Up to where the history is in the counts of the months.
PROGRESS_PLACE = "progress|place"


def progress_key(month: str) -> str:
    """The work of people in a month, such as 2026-11."""
    return f"progress|month|{month}"


def assignment_key(number: str) -> str:
    """What one request assigned, so that its repeat assigns the same."""
    return f"assignment|{number}"


def second_key(review_id: str) -> str:
    """A second review of a sample."""
    return f"second|{review_id}"


def second_item_key(review_id: str, document_id: str) -> str:
    """One document of a second review, with the labels of both people."""
    return f"seconditem|{review_id}|{document_id}"


def pending_partition(incarnation: str) -> str:
    return f"{incarnation}|todo"


def purge_key(incarnation: str, edition: str = "") -> str:
    return f"purge|{incarnation}|{edition}" if edition else f"purge|{incarnation}"


def active_key(incarnation: str) -> str:
    return f"active|{incarnation}"


def outbox_key(event_id: str = "") -> str:
    """Events that wait to be sent, in the partition of what they tell of."""
    return f"outbox|{event_id}"


def dead_letter_key(letter_id: str = "") -> str:
    return f"deadletter|{letter_id}"


def number_of(key: str) -> int:
    """The page or batch number at the end of a key."""
    return int(key.rsplit("|", 1)[1])


def key_range(start: str) -> tuple[str, str]:
    """The key range of all keys that begin so."""
    return start, start + LAST


PART = 60 * 1024
MAX_PACKED = 700 * 1024


#: Up to so many bytes are compressed with little memory: to get and clear zlib's usual 256 KiB takes several times as
#: long as to compress a small row. What decompresses it is the same.
SMALL = 64 * 1024
#: Up to so many bytes are stored as they are, in the same format: to compress them takes ten times as long, and saves a
#: fifth of them.
TINY = 512


def pack(data: Any) -> bytes:
    return pack_text(to_json(data))


def pack_text(json_text: str) -> bytes:
    data = json_text.encode("utf-8", "surrogatepass")
    if len(data) > SMALL:
        return zlib.compress(data, 1)
    compressor = zlib.compressobj(1 if len(data) > TINY else 0, wbits=12, memLevel=5)
    return compressor.compress(data) + compressor.flush()


def unpack(data: bytes) -> Any:
    return json.loads(zlib.decompress(data).decode("utf-8", "surrogatepass"))


def to_parts(packed: bytes) -> dict[str, Value]:
    """Properties p00, p01, ... that hold the bytes."""
    return {f"p{i // PART:02d}": packed[i : i + PART] for i in range(0, len(packed), PART)}


def from_parts(values: Mapping[str, Value]) -> bytes:
    """The bytes again; b"" where the row holds none."""
    parts: list[bytes] = []
    while isinstance(part := values.get(f"p{len(parts):02d}"), bytes):
        parts.append(part)
    return b"".join(parts)


def packed_values(data: Any) -> dict[str, Value]:
    return to_parts(pack(data))


def unpacked_values(values: Mapping[str, Value]) -> Any:
    return unpack(from_parts(values))


def int_of(values: Mapping[str, Value], name: str) -> int:
    value = values.get(name, 0)
    return value if isinstance(value, int) else 0


def str_of(values: Mapping[str, Value], name: str) -> str:
    value = values.get(name, "")
    return value if isinstance(value, str) else ""


#: Without the search for what contains itself, as no row does: it takes a quarter of the time.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)


def to_json(data: Any) -> str:
    return _ENCODER.encode(data)


def from_json(text: str) -> Any:
    return json.loads(text)
