"""A search reads a bounded number of texts at a call, and says which part of the documents it searched."""

import pytest

from shared.services.review import searching
from shared.services.review.listing import DocumentQuery
from shared.services.review.searching import Found, Search
from tests.support.services import App, in_process
from tests.support.storage.memory import MemoryStorage


@pytest.fixture
async def app() -> App:
    made = in_process(MemoryStorage())
    await made.create()
    await made.upload({f"{n:02}.txt": f"{'needle' if n in {0, 7, 19} else 'hay'} {n}" for n in range(20)})
    await made.drain()
    return made


async def _all(app: App, search: Search, top: int = 10) -> list[Found]:
    answers: list[Found] = []
    token: str | None = None
    while not answers or token:
        _, found = await app.container.searches.search("p", search, top, token)
        answers.append(found)
        token = found.token
    return answers


async def test_a_call_reads_so_many_documents_at_most(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "MAX_SEARCHED_DOCUMENTS", 6)
    monkeypatch.setattr(searching, "CHUNK", 4)
    answers = await _all(app, Search(DocumentQuery(orderby="location"), "needle"))
    assert [found.searched for found in answers] == [6, 12, 18, 20]
    assert [[m.document.location for m in found.matches] for found in answers] == [
        ["00.txt"],
        ["07.txt"],
        [],
        ["19.txt"],
    ]
    assert {found.total for found in answers} == {20}


async def test_a_call_reads_so_many_characters_at_most_and_at_least_one_document(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "MAX_CHARACTERS", 1)
    answers = await _all(app, Search(DocumentQuery(), "needle"))
    assert [found.searched for found in answers] == list(range(1, 21))


async def test_a_document_whose_blob_is_gone_counts_as_unread(app: App) -> None:
    await app.blobs.delete(app.documents, "07.txt")
    [found] = await _all(app, Search(DocumentQuery(), "needle"))
    assert (found.searched, found.unread, len(found.matches)) == (20, 1, 2)
