"""Paths and queries of request targets, decoded and encoded as the real host does it."""

import re
from urllib.parse import quote

_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_PATH_ESCAPES = re.compile(r"(?:%(?!2[Ff])[0-9A-Fa-f]{2})+")
# Not escaped in an address: these characters, and what looks like an escape.
_ENCODED = re.compile(r"[^A-Za-z0-9!$&'()*+,\-./:;=@_~%]+|%(?![0-9A-Fa-f]{2})")


def decode_path(path: str) -> str | None:
    """The path of a request target as Kestrel decodes it; None when it is answered 400.

    Escapes that are not UTF-8, and `%2F`, stay as they are; dot segments are resolved after decoding.
    """
    if "%00" in path:
        return None
    path = _PATH_ESCAPES.sub(_decode_escapes, path) if "%" in path else path
    return _without_dots(path) if "/." in path else path


def encode_path(path: str) -> str:
    """A decoded path as functions see it in an address."""
    return _ENCODED.sub(lambda match: quote(match[0], safe=""), path)


def parse_query(query: str) -> dict[str, list[str]]:
    """Values by name in order, empty ones included. Of the spellings of a name the last one is the key."""
    found: dict[str, tuple[str, list[str]]] = {}
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        name, value = _decode_query(name), _decode_query(value)
        values = found[name.lower()][1] if name.lower() in found else []
        found[name.lower()] = name, [*values, value]
    return dict(found.values())


def _decode_query(text: str) -> str:
    return _ESCAPES.sub(_decode_escapes, text.replace("+", " "))


def _decode_escapes(match: re.Match[str]) -> str:
    decoded = bytes.fromhex(match[0].replace("%", "")).decode(errors="surrogateescape")
    return "".join(f"%{ord(c) - 0xDC00:02X}" if "\udc80" <= c <= "\udcff" else c for c in decoded)


def _without_dots(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")[1:]
    for position, segment in enumerate(segments):
        if segment == "..":
            kept[-1:] = []
        elif segment != ".":
            kept.append(segment)
        if segment in {".", ".."} and position == len(segments) - 1:
            kept.append("")
    return "/" + "/".join(kept)
