"""The exchange of documents and results with Azure Language.

The service is asynchronous: documents are sent, and the operation is polled until it has ended. An `Exchange` records
which documents of a group were sent and answered; it is stored as JSON between two messages, so that no function
waits long and nothing is sent, or paid for, twice.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from shared.domain.jobs import JobError
from shared.domain.labels import Prediction
from shared.domain.names import ProjectKind
from shared.domain.text import Offsets, content_hash, text_records
from shared.engines.azure_language.packing import Piece, merge_classes, merge_entities, pack, split
from shared.engines.azure_language.service import Busy, OperationState, Refused, checksum
from shared.engines.base import Answer, EngineUnavailable, Keep, Permit, Text

#: Concurrent calls, within the limit per minute.
AT_ONCE: Final = 4
#: If this many documents are refused and none is accepted, the others are not sent.
MAX_REFUSALS: Final = 5
MAX_WAIT_SECONDS: Final = 30.0
#: Operations that fail for a temporary reason are sent again once.
TRIES: Final = 2
PASSING_CODES: Final = frozenset({"InternalServerError", "ServiceUnavailable", "Timeout", "TooManyRequests"})
ENDED: Final = frozenset({"succeeded", "partiallyCompleted", "partiallySucceeded", "failed", "cancelled"})


class Service(Protocol):
    """The calls of one model."""

    @property
    def kind(self) -> ProjectKind: ...

    async def start(self, documents: Sequence[Mapping[str, str]]) -> str:
        """Send one request; return the id of its operation. Raises Refused, EngineUnavailable."""
        ...

    async def state(self, operation: str) -> tuple[OperationState, int | None]:
        """The state of an operation, and how many seconds the service asks to wait. Raises as `start`."""
        ...


@dataclass(frozen=True, slots=True)
class Sent:
    """One piece of one document in a request: `key` names the document, `content` is the hash of its text."""

    key: str
    content: str
    piece: Piece

    @property
    def records(self) -> int:
        return text_records(self.piece.end - self.piece.start)

    def to_json(self) -> list[Any]:
        piece = self.piece
        return [self.key, self.content, piece.start, piece.end, piece.size, piece.cut_before, piece.cut_after]

    @classmethod
    def from_json(cls, data: Sequence[Any]) -> "Sent":
        return cls(data[0], data[1], Piece(*data[2:]))


@dataclass(slots=True, eq=False)
class Request:
    """One request: `operation` is "" until the service accepts it."""

    items: list[Sent]
    operation: str = ""
    tries: int = 0


@dataclass(slots=True)
class Found:
    """The results of a document so far: its pieces with their predictions, as returned by the service."""

    content: str
    pieces: list[tuple[Piece, list[list[Any]]]] = field(default_factory=list[tuple[Piece, list[list[Any]]]])


class Exchange:
    """A group of documents on their way to the service and back; see `shared.engines.base.Exchange`."""

    def __init__(self, service: Service, state: bytes | None = None) -> None:
        data: dict[str, Any] = json.loads(state) if state else {}
        self._service = service
        self._requests = [
            Request([Sent.from_json(item) for item in items], operation, tries)
            for items, operation, tries in data.get("requests", ())
        ]
        self._found = {
            key: Found(content, [(Piece(*piece), list(rows)) for piece, rows in pieces])
            for key, (content, pieces) in data.get("found", {}).items()
        }
        self._failed = {
            key: (content, JobError(*error)) for key, (content, error) in data.get("failed", {}).items()
        }
        self._polls = int(data.get("polls", 0))
        # An earlier version did not store them.
        self.records = int(data["records"] if "records" in data else self._records())
        self._refusals = 0
        #: Why the service accepts no request.
        self._hopeless: JobError | None = None
        self._accepted = any(request.operation for request in self._requests) or any(
            found.pieces for found in self._found.values()
        )
        self.wait = 0.0

    def dump(self) -> bytes:
        data = {
            "requests": [[[s.to_json() for s in r.items], r.operation, r.tries] for r in self._requests],
            "found": {
                key: [found.content, [[_numbers(piece), rows] for piece, rows in found.pieces]]
                for key, found in self._found.items()
            },
            "failed": {key: [content, [e.code, e.message]] for key, (content, e) in self._failed.items()},
            "polls": self._polls,
            "records": self.records,
        }
        return json.dumps(data, separators=(",", ":")).encode()

    def _records(self) -> int:
        """The text records of what was sent or answered."""
        pieces = [piece for found in self._found.values() for piece, _ in found.pieces]
        pieces += [sent.piece for request in self._requests if request.operation for sent in request.items]
        return sum(text_records(piece.end - piece.start) for piece in pieces)

    @property
    def unsent(self) -> bool:
        return any(not request.operation for request in self._requests)

    @property
    def waiting(self) -> bool:
        return bool(self._requests)

    def plan(self, texts: Mapping[str, Text]) -> None:
        """Add the documents that the exchange does not have, or has with another text."""
        hashes = {key: content_hash(text.text) for key, text in texts.items()}
        changed = {
            k for k, content in hashes.items() if k not in self._found or self._found[k].content != content
        }
        fresh: list[tuple[Sent, int]] = []  # the service refuses text of only white space
        for key in (key for key in texts if key in changed):
            self._failed.pop(key, None)
            self._found[key] = Found(hashes[key])
            text = texts[key].text
            pieces = (piece for piece in split(text) if text[piece.start : piece.end].strip())
            fresh += [(Sent(key, hashes[key], piece), piece.size) for piece in pieces]
        self._requests += [Request(items) for items in pack(fresh)]

    async def send(self, texts: Mapping[str, Text], keep: Keep, permit: Permit) -> None:
        """Send what has not been sent. `wait` is how long the service wants no more requests."""
        while pending := [request for request in self._requests if not request.operation][:AT_ONCE]:
            granted, self.wait = await permit(len(pending))
            if not granted:
                return
            results = await asyncio.gather(
                *(self._send(request, texts) for request in pending[:granted]), return_exceptions=True
            )
            if self._hopeless is not None and not self._accepted:
                self._give_up(
                    [request for request in self._requests if not request.operation], self._hopeless
                )
            await keep(self.dump())
            if not self._go_on(results):
                return

    async def poll(self, keep: Keep, permit: Permit) -> None:
        """Ask for the results of what was sent. `wait` is when to ask again."""
        outstanding = [request for request in self._requests if request.operation]
        waits: list[float] = []
        for start in range(0, len(outstanding), AT_ONCE):
            group = outstanding[start : start + AT_ONCE]
            granted, self.wait = await permit(len(group))
            results = await asyncio.gather(
                *(self._poll(request) for request in group[:granted]), return_exceptions=True
            )
            if any(result is True for result in results):
                await keep(self.dump())
            if granted < len(group) or not self._go_on(results):
                return
            waits += [result for result in results if isinstance(result, float)]
        self._polls += 1
        self.wait = max((min(MAX_WAIT_SECONDS, 0.5 * 1.5**self._polls), *waits)) if self._requests else 0.0

    def give_up(self, reason: JobError) -> None:
        """Let documents without an answer fail with this reason."""
        self._give_up(list(self._requests), reason)

    def _give_up(self, requests: Sequence[Request], reason: JobError) -> None:
        for request in requests:
            self._requests.remove(request)
            self._fail(request.items, reason)

    def answers(self, texts: Mapping[str, Text]) -> dict[str, Answer]:
        """The answers so far for these documents."""
        return {key: self._answer(key, text.text) for key, text in texts.items()}

    def _go_on(self, results: Sequence[object]) -> bool:
        """Whether more calls make sense now. Raises EngineUnavailable, and unexpected errors."""
        busy = [result for result in results if isinstance(result, Busy)]
        if busy:
            self.wait = float(max(reply.seconds for reply in busy))
            return False
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return True

    async def _send(self, request: Request, texts: Mapping[str, Text]) -> None:
        request.items = [s for s in request.items if s.key in texts and self._is_current(s)]
        if not request.items:
            self._requests.remove(request)
            return
        documents = [
            {"id": str(number), "text": texts[s.key].text[s.piece.start : s.piece.end]}
            | ({"language": texts[s.key].language} if texts[s.key].language else {})
            for number, s in enumerate(request.items)
        ]
        request.tries += 1
        try:
            request.operation = await self._service.start(documents)
        except Refused as refused:
            self._refused(request, refused)
        else:
            self._accepted = True
            self.records += sum(item.records for item in request.items)

    def _refused(self, request: Request, refused: Refused) -> None:
        """The service refuses a request as a whole, often because of one document: try its halves, down to single
        documents.
        """
        if refused.status >= 400 and refused.status not in {401, 403, 404} and len(request.items) > 1:
            self._halve(request)
            return
        self._requests.remove(request)
        self._fail(request.items, refused.reason)
        self._refusals += 1
        if refused.status in {401, 403, 404} or self._refusals >= MAX_REFUSALS:
            self._hopeless = refused.reason

    def _halve(self, request: Request) -> None:
        middle = len(request.items) // 2
        place = self._requests.index(request)
        self._requests[place : place + 1] = [Request(request.items[:middle]), Request(request.items[middle:])]

    def _fail(self, items: Sequence[Sent], reason: JobError) -> None:
        self._failed.update({s.key: (s.content, reason) for s in items if self._is_current(s)})

    def _is_current(self, sent: Sent) -> bool:
        """Whether the text of the document is still the one that was sent."""
        return self._found[sent.key].content == sent.content

    async def _poll(self, request: Request) -> bool | float:
        """True if it has ended, otherwise how long the service asks to wait."""
        try:
            state, wait = await self._service.state(request.operation)
        except Refused as refused:
            if refused.status in {404, 410} and request.tries < TRIES:
                request.operation = ""  # its results are gone, so it is sent again
            else:
                self._requests.remove(request)
                self._fail(request.items, refused.reason)
            return True
        if state.status not in ENDED:
            return float(wait or 0)
        self._end(request, state)
        return True

    def _end(self, request: Request, state: "OperationState") -> None:
        self.records -= sum(item.records for item in request.items)
        if state.status in {"failed", "cancelled"} and not state.documents and not state.errors:
            if state.reason.code in PASSING_CODES and request.tries < TRIES:
                request.operation = ""
                return
            if "Document" in state.reason.code and len(request.items) > 1:
                self._halve(request)
                return
        self._requests.remove(request)
        for number, item in enumerate(request.items):
            rows, error = state.documents.get(str(number)), state.errors.get(str(number))
            if error is not None or rows is None:
                self._fail([item], error or state.reason)
                continue
            self.records += item.records
            if self._is_current(item):
                self._found[item.key].pieces.append((item.piece, rows))

    def _answer(self, key: str, text: str) -> Answer:
        content = content_hash(text)
        if key in self._failed and self._failed[key][0] == content:
            return Answer(failure=self._failed[key][1])
        found = self._found.get(key)
        if found is None or found.content != content:
            return Answer(
                failure=JobError("ContentChanged", "The document changed while it was being labeled.")
            )
        pieces = sorted(found.pieces, key=lambda pair: pair[0].start)
        read = [(piece, *_predictions(text, piece, rows)) for piece, rows in pieces]
        left_out = sum(dropped for _, _, dropped in read)
        parts = [(piece, predictions) for piece, predictions, _ in read]
        if not parts:
            return Answer()
        if self._service.kind is ProjectKind.ENTITIES:
            return Answer(tuple(merge_entities(parts)), left_out=left_out)
        single = self._service.kind is ProjectKind.SINGLE_LABEL
        return Answer(tuple(merge_classes(parts, single=single)), left_out=left_out)


def kept(kind: ProjectKind, state: bytes) -> Exchange:
    """An exchange with this state, only to read its answers: it has no service to call."""
    return Exchange(_NoService(kind), state)


@dataclass(frozen=True, slots=True)
class _NoService:
    kind: ProjectKind

    async def start(self, documents: Sequence[Mapping[str, str]]) -> str:
        raise EngineUnavailable("The service cannot be called.")

    async def state(self, operation: str) -> tuple[OperationState, int | None]:
        raise EngineUnavailable("The service cannot be called.")


def _numbers(piece: Piece) -> list[Any]:
    return [piece.start, piece.end, piece.size, piece.cut_before, piece.cut_after]


def _predictions(text: str, piece: Piece, rows: Sequence[Sequence[Any]]) -> tuple[list[Prediction], int]:
    """The predictions of a piece, in code points from its start, and how many are not in the text."""
    part = text[piece.start : piece.end]
    offsets: Offsets | None = None
    made: list[Prediction] = []
    for row in rows:
        category, confidence = row[0], row[1]
        if len(row) == 2:
            made.append(Prediction(category, confidence))
            continue
        offsets = offsets or Offsets(part)
        span = offsets.span_to_code_points(row[2], row[3]) if row[3] > 0 else None
        if span is None or (row[4] is not None and checksum(part[span[0] : span[0] + span[1]]) != row[4]):
            continue
        made.append(Prediction(category, confidence, *span))
    return made, len(rows) - len(made)
