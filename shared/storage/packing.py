"""JSON packed into the binary properties of a row: a property takes 64 KiB, a row 1 MiB."""

import json
import zlib
from collections.abc import Mapping
from typing import Any

from shared.storage.gateways.ports import Value

PART = 60 * 1024
MAX_PACKED = 700 * 1024


def pack(data: Any) -> bytes:
    return zlib.compress(to_text(data).encode("utf-8", "surrogatepass"), 1)


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


def integer(values: Mapping[str, Value], name: str) -> int:
    value = values.get(name, 0)
    return value if isinstance(value, int) else 0


def string(values: Mapping[str, Value], name: str) -> str:
    value = values.get(name, "")
    return value if isinstance(value, str) else ""


def to_text(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def from_text(text: str) -> Any:
    return json.loads(text)
