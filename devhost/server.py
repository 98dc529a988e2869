"""An HTTP/1.1 server with the limits and checks of Kestrel, the server inside the real host."""

import asyncio
import contextlib
import re
import socket
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from email.utils import formatdate
from functools import cached_property
from http import HTTPStatus
from typing import cast

from devhost.output import log
from devhost.paths import decode_path, encode_path, parse_query

MAX_REQUEST_LINE, MAX_HEADERS, MAX_HEADER_COUNT = 8_192, 32_768, 100
BODY_GRACE, BODY_RATE = 5.0, 240.0  # seconds, bytes a second: a slower body is answered 500
LINGER = 2.0  # seconds for a client to read the last answer of a connection
HEADERS_TIMEOUT = 30.0  # seconds from the first byte of a request to the end of its headers

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(rb"[\x21-\x7e]+")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9!$&'()\-._]*)(:[0-9]{0,5})?")
_LENGTH = re.compile(r"\+?[0-9]+")
_BAD_VALUE = re.compile(rb"[\0\r\n]")
_BAD_ANSWER = re.compile(r"[^\t\x20-\x7e]")
_NO_BODY = {204, 304}


@dataclass(frozen=True)
class Request:
    """A request as the real host sees it: header names in lower case, `target` as it was sent."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""

    @cached_property
    def path(self) -> str:
        """The decoded path; "" when the server answers 400."""
        return decode_path(self.target.partition("?")[0]) or ""

    @cached_property
    def url(self) -> str:
        """The address that a function sees: rebuilt from the decoded path, the query as it was sent."""
        _, mark, query = self.target.partition("?")
        return f"http://{self.headers.get('host', '')}{encode_path(self.path)}{mark}{query}"

    @cached_property
    def query(self) -> dict[str, list[str]]:
        """Values by the name in the query; of several spellings of a name the last counts."""
        return parse_query(self.target.partition("?")[2])

    def parameter(self, name: str) -> list[str]:
        """The values of a query parameter, whose name ignores case."""
        same = [values for key, values in self.query.items() if key.lower() == name.lower()]
        return same[0] if same else []


@dataclass(frozen=True, slots=True)
class Response:
    """Status, body and headers in order (names may repeat). `chunked`: without Content-Length."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    chunked: bool = False


type Handler = Callable[[Request], Awaitable[Response]]
type _Reader = asyncio.StreamReader
type _Writer = asyncio.StreamWriter


class _Refused(Exception):
    """The request is answered by the server itself, and the connection is closed."""

    def __init__(self, status: int, *headers: tuple[str, str]) -> None:
        super().__init__(status)
        self.response = Response(status, headers=headers)


class HttpServer:
    """Serves a socket. `max_body` in bytes: a longer body is answered 500 and not read."""

    def __init__(self, handler: Handler, max_body: int) -> None:
        self._handler = handler
        self._max_body = max_body
        self._server: asyncio.Server | None = None
        self._stopping = False
        self._connections: set[asyncio.Task[None]] = set()
        self._busy: set[asyncio.Task[None]] = set()

    async def start(self, listener: socket.socket) -> None:
        """Accept connections from now on."""
        self._server = await asyncio.start_server(self._serve, sock=listener, limit=65_536, backlog=1024)

    async def stop(self, deadline: float) -> None:
        """Accept no more, and wait until the loop's `deadline` for the requests that are being answered."""
        self._stopping = True
        if self._server is not None:
            self._server.close()
        left = deadline - asyncio.get_running_loop().time()
        if self._busy and left > 0:
            await asyncio.wait(self._busy, timeout=left)
        open_connections = list(self._connections)
        for task in open_connections:
            task.cancel()
        await asyncio.gather(*open_connections, return_exceptions=True)

    async def _serve(self, reader: _Reader, writer: _Writer) -> None:
        kept, task = True, cast("asyncio.Task[None]", asyncio.current_task())
        self._connections.add(task)
        try:
            while kept and not self._stopping and (first := await reader.read(1)):
                self._busy.add(task)
                kept = await self._exchange(first, reader, writer)
                self._busy.discard(task)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            self._connections.discard(task)
            self._busy.discard(task)
            writer.close()

    async def _exchange(self, first: bytes, reader: _Reader, writer: _Writer) -> bool:
        """Answer one request; whether the connection stays open."""
        method, minor, kept = "", 1, False
        try:
            head = _Head(first + await _read_head(reader))
            method, minor = head.request.method.upper(), head.minor
            request = await self._with_body(head, reader, writer)
            response, kept = _checked(await self._handler(request)), head.kept_open
        except _Refused as refused:
            response = refused.response
        except (ValueError, LookupError, TypeError):
            log(f"devhost: a request failed\n{traceback.format_exc()}")
            response = Response(500)
        writer.write(_encoded(response, method, minor, kept))
        await writer.drain()
        if not kept:  # what was not read would reset the connection before the answer is read
            writer.write_eof()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINGER):
                    while await reader.read(65_536):
                        pass
        return kept

    async def _with_body(self, head: "_Head", reader: _Reader, writer: _Writer) -> Request:
        request, length = head.request, head.length
        if length == 0:
            return request
        if length is not None and length > self._max_body:
            raise _Refused(500)
        if request.headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            async with asyncio.timeout(None if length is None else BODY_GRACE + length / BODY_RATE):
                body = await (self._read_chunks(reader) if length is None else reader.readexactly(length))
        except TimeoutError:
            raise _Refused(500) from None
        return replace(request, body=body)

    async def _read_chunks(self, reader: asyncio.StreamReader) -> bytes:
        body = bytearray()
        try:
            while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
                if len(body) + size > self._max_body:
                    raise _Refused(500)
                body += await reader.readexactly(size)
                await reader.readuntil(b"\r\n")
            while await reader.readuntil(b"\r\n") != b"\r\n":
                pass  # a trailer
        except (ValueError, asyncio.LimitOverrunError):
            raise _Refused(400) from None
        return bytes(body)


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    try:
        async with asyncio.timeout(HEADERS_TIMEOUT):
            return await reader.readuntil(b"\r\n\r\n")
    except TimeoutError:
        raise _Refused(408) from None
    except asyncio.LimitOverrunError:
        start = await reader.read(MAX_REQUEST_LINE)
        raise _Refused(431 if b"\r\n" in start else 414) from None


class _Head:
    """Request line and headers, checked. `length` of the body in bytes, None when it comes in chunks."""

    def __init__(self, data: bytes) -> None:
        line, *fields = data[:-4].split(b"\r\n")
        if len(line) + 2 > MAX_REQUEST_LINE:
            raise _Refused(414)
        method, target = self._request_line(line)
        if len(data) - len(line) > MAX_HEADERS or len(fields) > MAX_HEADER_COUNT:
            raise _Refused(431)
        values = self._fields(fields)
        self._check_host(values.get("host", []))
        headers = {name: v[0] if len(v) == 1 else ",".join(filter(None, v)) for name, v in values.items()}
        self.length = self._body_length(values)
        if self.length is not None and "content-length" in headers:
            headers["content-length"] = str(self.length)
        self.request = Request(method, self._path(method, target, headers), headers)
        if not self.request.path:
            raise _Refused(400)
        self.kept_open = self.minor == 1 and "close" not in headers.get("connection", "").lower()

    def _request_line(self, line: bytes) -> tuple[str, str]:
        parts = line.split(b" ")
        if len(parts) != 3 or not _TOKEN.fullmatch(parts[0]) or not _TARGET.fullmatch(parts[1]):
            raise _Refused(400)
        if parts[2] not in {b"HTTP/1.1", b"HTTP/1.0"}:
            raise _Refused(505 if parts[2].startswith(b"HTTP/") else 400)
        self.minor = int(parts[2][-1:])
        return parts[0].decode(), parts[1].decode()

    def _fields(self, fields: list[bytes]) -> dict[str, list[str]]:
        values: dict[str, list[str]] = {}
        for field in fields:
            name, colon, value = field.partition(b":")
            if not colon or not _TOKEN.fullmatch(name) or _BAD_VALUE.search(value):
                raise _Refused(400)
            try:
                values.setdefault(name.decode().lower(), []).append(value.strip(b" \t").decode())
            except UnicodeDecodeError:
                raise _Refused(400) from None
        return values

    def _check_host(self, hosts: list[str]) -> None:
        if len(hosts) > 1 or (not hosts and self.minor) or not all(map(_HOST.fullmatch, hosts)):
            raise _Refused(400)

    @staticmethod
    def _body_length(values: dict[str, list[str]]) -> int | None:
        codings, lengths = values.get("transfer-encoding"), values.get("content-length", ["0"])
        if codings is not None:
            if codings[-1].rpartition(",")[2].strip().lower() != "chunked":
                raise _Refused(400)
            return None
        if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
            raise _Refused(400)
        return int(lengths[0])

    @staticmethod
    def _path(method: str, target: str, headers: dict[str, str]) -> str:
        """The target from its path on; an absolute one must name the host of the Host header."""
        if target.startswith("/"):
            return target
        if target == "*":
            raise _Refused(404) if method == "OPTIONS" else _Refused(405, ("Allow", "OPTIONS"))
        scheme, _, rest = target.partition("://")
        host, _, path = rest.partition("/")
        if scheme not in {"http", "https"} or host != headers.get("host"):
            raise _Refused(400)
        return f"/{path}"


def _checked(response: Response) -> Response:
    """500 in place of an answer that cannot be sent: a status that does not exist, a header that is not ASCII."""
    names = any(not _TOKEN.fullmatch(name.encode()) for name, _ in response.headers)
    if names or any(_BAD_ANSWER.search(value) for _, value in response.headers):
        return Response(500)
    return response if 200 <= response.status <= 999 else Response(500)


def _encoded(response: Response, method: str, minor: int, kept: bool) -> bytes:
    """The bytes of an answer. What a function answers has no Content-Length; the real host streams it."""
    reason = HTTPStatus(response.status).phrase if response.status in HTTPStatus else ""
    lines = [f"HTTP/1.1 {response.status} {reason}", f"Date: {formatdate(usegmt=True)}"]
    lines += [f"{name}: {value}" for name, value in response.headers]
    body = b"" if response.status in _NO_BODY or method == "HEAD" else response.body
    if response.chunked and body:
        if minor:  # HTTP/1.0 has no chunks: the end of the connection ends the body
            lines.append("Transfer-Encoding: chunked")
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    elif response.status not in _NO_BODY and method != "HEAD":
        lines.append(f"Content-Length: {len(body)}")
    if not kept:
        lines.append("Connection: close")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
