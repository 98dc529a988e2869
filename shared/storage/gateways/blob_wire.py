"""Blobs as the blob service speaks of them: names in URLs, headers, XML listings."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote, unquote
from xml.etree import ElementTree

from shared.storage.gateways.limits import check_blob_name, check_container
from shared.storage.gateways.ports import BlobInfo


def blob_path(container: str, name: str) -> str:
    """The path of a blob in a URL; raises BadKey for what cannot exist."""
    check_container(container)
    check_blob_name(name)
    return f"{container}/{quote(name, safe='/~')}"


def bare(etag: str) -> str:
    """An etag without quotes: headers have them, listings and events do not."""
    return etag.strip('"')


def condition_headers(
    *, create_only: bool = False, etag: str | None = None, lease: str | None = None
) -> dict[str, str]:
    """The headers that make a request conditional."""
    headers: dict[str, str] = {}
    if create_only:
        headers["If-None-Match"] = "*"
    if etag is not None:
        headers["If-Match"] = f'"{etag}"'
    if lease is not None:
        headers["x-ms-lease-id"] = lease
    return headers


def info_of_headers(name: str, headers: Mapping[str, str]) -> BlobInfo:
    """What the answer to HEAD tells of a blob."""
    return BlobInfo(
        name,
        bare(headers["ETag"]),
        int(headers["Content-Length"]),
        parsedate_to_datetime(headers["Last-Modified"]),
        headers.get("x-ms-lease-state") == "leased",
    )


def total_size(headers: Mapping[str, str]) -> int:
    """The length of the whole blob, of the answer to a read of it or of a range of it."""
    _, _, total = headers.get("Content-Range", "").rpartition("/")
    return int(total or headers["Content-Length"])


def decode_blobs(body: bytes) -> tuple[list[BlobInfo], str]:
    """A page of a listing of blobs, and the marker of the next page ("" after the last)."""
    root = ElementTree.fromstring(body)  # noqa: S314  # from the user's own account, over TLS
    dates: dict[str, datetime] = {}  # blobs uploaded together share their second
    return [_info(element, dates) for element in root.iter("Blob")], root.findtext("NextMarker") or ""


def decode_containers(body: bytes) -> tuple[list[str], str]:
    """A page of a listing of containers, and the marker of the next page."""
    root = ElementTree.fromstring(body)  # noqa: S314  # from the user's own account, over TLS
    return [element.findtext("Name", "") for element in root.iter("Container")], root.findtext(
        "NextMarker"
    ) or ""


def encode_block_list(blocks: Sequence[str]) -> bytes:
    """The order to make a blob of these staged blocks."""
    latest = "".join(f"<Latest>{block}</Latest>" for block in blocks)
    return f'<?xml version="1.0" encoding="utf-8"?><BlockList>{latest}</BlockList>'.encode()


def _info(element: ElementTree.Element, dates: dict[str, datetime]) -> BlobInfo:
    name = element.findtext("Name", "")
    if element.find("Name[@Encoded='true']") is not None:  # it holds what XML cannot
        name = unquote(name)
    found = {child.tag: child.text or "" for child in element.iterfind("Properties/*")}
    modified = found["Last-Modified"]
    if modified not in dates:
        dates[modified] = parsedate_to_datetime(modified)
    return BlobInfo(
        name,
        bare(found["Etag"]),
        int(found["Content-Length"]),
        dates[modified],
        found.get("LeaseState") == "leased",
    )
