"""Full-text search over the documents of a list: reads their texts from the container, some hundreds per call."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from shared.domain.document import Document
from shared.domain.project import Project
from shared.domain.text import Offsets, utf16_length
from shared.services.jobs.stores import Stores
from shared.services.review.listing import (
    DocumentQuery,
    Key,
    count_documents,
    heads_for,
    make_token,
    read_token,
    select_documents,
)

#: Of one call, whichever is reached first. Characters are those that the documents had when they were registered.
MAX_SEARCHED_DOCUMENTS: Final = 300
MAX_CHARACTERS: Final = 4_000_000
#: Texts that are read and in memory at a time.
CHUNK: Final = 50
#: Characters shown before and after the first match.
CONTEXT: Final = 40
#: Matches are counted up to here, for each document.
MAX_MATCHES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Search:
    """What is searched for, in documents of a list. White space in `text` stands for any white space."""

    query: DocumentQuery
    text: str
    match_case: bool = False

    def pattern(self) -> re.Pattern[str]:
        words = r"\s+".join(map(re.escape, self.text.split()))
        return re.compile(words, re.NOFLAG if self.match_case else re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Match:
    """The first match in a document. Offsets and lengths in UTF-16; `matches` counts all, up to `MAX_MATCHES`.

    `context` is the text around it in one line, `start` and `length` the match in it.
    """

    document: Document
    matches: int
    offset: int
    length: int
    context: str
    start: int


@dataclass(frozen=True, slots=True)
class Found:
    """Matches in the order of the list. `searched` documents of `total` so far, with the calls before this one.

    `unread` of them have no text that could be read. `token` None: all were searched.
    """

    matches: Sequence[Match]
    searched: int
    unread: int
    total: int
    token: str | None


class SearchService:
    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def search(self, name: str, search: Search, top: int, token: str | None) -> tuple[Project, Found]:
        """The next matches, at most `top`. Raises InvalidArgument for a token of another search."""
        project = await self._stores.directory.read(name)
        search.query.require_range()
        position = read_token(token, project, search) if token else None
        after: Key | None = position[:-2] if position else None
        searched, unread = (int(position[-2]), int(position[-1])) if position else (0, 0)
        pages = self._stores.pages
        heads = await heads_for(pages, project, search.query)
        total = await count_documents(pages, project, search.query, heads)
        listed = await select_documents(
            pages, project, search.query, heads, MAX_SEARCHED_DOCUMENTS + 1, after
        )
        within = _within_limits(listed)
        matches: list[Match] = []
        done = 0
        for first in range(0, len(within), CHUNK):
            chunk = within[first : first + CHUNK]
            texts = await self._texts_of(project, [document for _, document in chunk])
            found = await asyncio.to_thread(_matches, search.pattern(), chunk, texts)
            for (key, _), text, match in zip(chunk, texts, found, strict=True):
                after, done = key, done + 1
                unread += text is None
                if match is not None:
                    matches.append(match)
                if len(matches) == top:
                    break
            if len(matches) == top:
                break
        more = done < len(listed) and after is not None
        searched += done
        following = make_token((*after, searched, unread), project, search) if more and after else None
        return project, Found(matches, searched, unread, max(total, searched), following)

    async def _texts_of(self, project: Project, documents: Sequence[Document]) -> list[str | None]:
        """The texts as they lie in the container now; None: the document has none."""
        readable = [d for d in documents if d.rejection is None and not d.missing]
        locations = [document.location for document in readable]
        readings = await self._stores.uploads.inspect_all(project.container, locations)
        texts = {d.id: reading.text for d, reading in zip(readable, readings, strict=True) if reading}
        return [texts.get(document.id) for document in documents]


def _within_limits(listed: Sequence[tuple[Key, Document]]) -> list[tuple[Key, Document]]:
    """Those to search in one call: at least one, if there is any."""
    characters = 0
    for count, (_, document) in enumerate(listed):
        characters += document.characters
        if count == MAX_SEARCHED_DOCUMENTS or (count and characters > MAX_CHARACTERS):
            return list(listed[:count])
    return list(listed)


def _matches(
    pattern: re.Pattern[str], chunk: Sequence[tuple[Key, Document]], texts: Sequence[str | None]
) -> list[Match | None]:
    return [
        None if text is None else _match(pattern, document, text)
        for (_, document), text in zip(chunk, texts, strict=True)
    ]


def _match(pattern: re.Pattern[str], document: Document, text: str) -> Match | None:
    first = pattern.search(text)
    if first is None:
        return None
    matches = sum(1 for _ in islice(pattern.finditer(text), MAX_MATCHES))
    offset, length = Offsets(text).span_to_utf16(first.start(), first.end() - first.start())
    low, high = max(0, first.start() - CONTEXT), first.end() + CONTEXT
    context = re.sub(r"\s", " ", text[low:high])
    return Match(document, matches, offset, length, context, utf16_length(text[low : first.start()]))
