"""Raw storage calls, the baseline of every ratio: plain REST over one connection pool, no SDK."""

import asyncio
import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import quote

import aiohttp
from azure.storage.blob.aio import BlobServiceClient
from yarl import URL

CONCURRENCY = 32
#: Azurite closes connections that were idle for 5 s; a request on a connection that is being closed fails.
KEEP_SECONDS = 3
OPERATIONS = 99  # of a transaction; 100 at the most
#: Attempts of a call whose connection breaks; all calls can be repeated.
TRIES = 5
VERSION = "2019-02-02"
JSON = "application/json;odata=minimalmetadata"


class RawStorage:
    """Raw calls to the blobs and tables of Azurite."""

    def __init__(self, connection_string: str) -> None:
        pairs = (part.partition("=") for part in connection_string.split(";"))
        parts = {name: value for name, _, value in pairs}
        self._account, self._key = parts["AccountName"], base64.b64decode(parts["AccountKey"])
        self._blob, self._table = parts["BlobEndpoint"], parts["TableEndpoint"]
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONCURRENCY, keepalive_timeout=KEEP_SECONDS)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._http is not None:
            await self._http.close()

    async def read(self, container: str, name: str) -> bytes:
        path = f"/{container}/{quote(name)}"
        return (await self._send("GET", self._blob, path, self._blob_headers("GET", path)))[1]

    async def write(self, container: str, name: str, data: bytes) -> None:
        path = f"/{container}/{quote(name)}"
        await self._send("PUT", self._blob, path, self._blob_headers("PUT", path, data), data)

    async def row(self, table: str, partition: str, key: str) -> dict[str, Any]:
        path = f"/{table}(PartitionKey='{quote(partition)}',RowKey='{quote(key)}')"
        body = (await self._send("GET", self._table, path, self._table_headers(path)))[1]
        row: dict[str, Any] = json.loads(body)
        return row

    async def rows(self, table: str, partition: str, low: str = "", high: str = "~") -> list[dict[str, Any]]:
        """All rows whose keys are in the range, page by page."""
        path = f"/{table}()"
        condition = f"PartitionKey eq '{partition}' and RowKey ge '{low}' and RowKey lt '{high}'"
        query = {"$filter": condition, "$top": "1000"}
        found: list[dict[str, Any]] = []
        while True:
            headers, body = await self._send(
                "GET", self._table, path, self._table_headers(path), params=query
            )
            found += json.loads(body)["value"]
            if "x-ms-continuation-NextPartitionKey" not in headers:
                return found
            for name in ("NextPartitionKey", "NextRowKey"):
                query[name] = headers.get(f"x-ms-continuation-{name}", "")

    async def create_table(self, table: str) -> None:
        body = json.dumps({"TableName": table}).encode()
        await self._send("POST", self._table, "/Tables", self._table_headers("/Tables"), body, allow={409})

    async def insert(self, table: str, row: Mapping[str, Any]) -> None:
        path = f"/{table}"
        body = json.dumps(row).encode()
        await self._send("POST", self._table, path, self._table_headers(path), body, allow={409})

    @property
    def http(self) -> aiohttp.ClientSession:
        assert self._http is not None
        return self._http

    async def commit(
        self, table: str, rows: Sequence[Mapping[str, Any]], *, etag: str = "", new: int = 0
    ) -> None:
        """Insert or replace rows of one partition in one transaction.

        `etag`: that of the first row. `new`: how many of the last rows are inserted.
        """
        batch, changes = f"batch_{uuid.uuid4()}", f"changeset_{uuid.uuid4()}"
        lines = [f"--{batch}", f"Content-Type: multipart/mixed; boundary={changes}", ""]
        for number, row in enumerate(rows):
            key = f"(PartitionKey='{quote(row['PartitionKey'])}',RowKey='{quote(row['RowKey'])}')"
            method, key = ("POST", "") if number >= len(rows) - new else ("PUT", key)
            lines += [
                f"--{changes}", "Content-Type: application/http", "Content-Transfer-Encoding: binary", "",
                f"{method} {self._table}/{table}{key} HTTP/1.1", "Content-Type: application/json",
                *([f"If-Match: {etag}"] if etag and number == 0 else ()),
                f"Accept: {JSON}", "DataServiceVersion: 3.0", "", json.dumps(row),
            ]  # fmt: skip
        lines += [f"--{changes}--", f"--{batch}--", ""]
        headers = self._table_headers("/$batch") | {"Content-Type": f"multipart/mixed; boundary={batch}"}
        await self._send("POST", self._table, "/$batch", headers, "\r\n".join(lines).encode())

    async def _send(
        self, method: str, base: str, path: str, headers: Mapping[str, str], body: bytes = b"",
        params: Mapping[str, str] | None = None, allow: Iterable[int] = (),
    ) -> tuple[Mapping[str, str], bytes]:  # fmt: skip
        url = URL(f"{base}{path}", encoded=True)
        sent = url.update_query(params) if params else url
        for attempt in range(1, TRIES + 1):
            try:
                async with self.http.request(method, sent, headers=headers, data=body or None) as answer:
                    content = await answer.read()
            except aiohttp.ClientConnectionError:  # Azurite breaks connections when it is busy
                if attempt == TRIES:
                    raise
                continue
            if answer.status >= 400 and answer.status not in allow:
                raise RuntimeError(f"{method} {path}: {answer.status} {content[:300]!r}")
            return answer.headers, content
        raise AssertionError("unreachable")

    def _blob_headers(self, method: str, path: str, data: bytes | None = None) -> dict[str, str]:
        """`data`: the content of a block blob to write."""
        headers = {"x-ms-date": _now(), "x-ms-version": VERSION}
        size, kind = "", ""
        if data is not None:
            headers["x-ms-blob-type"] = "BlockBlob"
            size, kind = str(len(data)), "application/json"
        ours = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
        canonical = f"/{self._account}/{self._account}{path}"
        text = f"{method}\n\n\n{size}\n\n{kind}\n\n\n\n\n\n\n{ours}{canonical}"
        return {
            **headers,
            **({"Content-Type": kind} if kind else {}),
            "Authorization": self._sign("SharedKey", text),
        }

    def _table_headers(self, path: str) -> dict[str, str]:
        date = _now()
        text = f"{date}\n/{self._account}/{self._account}{path}"
        return {
            "x-ms-date": date,
            "x-ms-version": VERSION,
            "Accept": JSON,
            "Content-Type": "application/json",
            "DataServiceVersion": "3.0",
            "Authorization": self._sign("SharedKeyLite", text),
        }

    def _sign(self, scheme: str, text: str) -> str:
        digest = hmac.new(self._key, text.encode(), hashlib.sha256).digest()
        return f"{scheme} {self._account}:{base64.b64encode(digest).decode()}"


def _now() -> str:
    return datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")


async def upload(
    connection: str, container: str, texts: Sequence[str], names: Callable[[int], str], *, first: int = 0
) -> None:
    """Put the texts into a container, which is created unless `first` says that it has documents already."""
    async with BlobServiceClient.from_connection_string(connection) as service:
        client = service.get_container_client(container)
        if not first:
            await client.create_container()
        await each(
            enumerate(texts, first),
            lambda pair: client.upload_blob(names(pair[0]), pair[1].encode(), overwrite=True),
        )


async def create(connection: str, container: str) -> None:
    async with BlobServiceClient.from_connection_string(connection) as service:
        await service.create_container(container)


async def delete(connection: str, container: str) -> None:
    """Delete a container that is no longer needed: Azurite searches all existing blobs."""
    async with BlobServiceClient.from_connection_string(connection) as service:
        await service.delete_container(container)


async def each(
    items: Iterable[Any], work: Callable[[Any], Awaitable[object]], concurrency: int = CONCURRENCY
) -> None:
    """The work for every item, `concurrency` at a time."""
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await work(item)

    await asyncio.gather(*(worker() for _ in range(concurrency)))
