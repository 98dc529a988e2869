"""Concurrent reviewers (rules V1, V2): no work is lost, and nobody waits for another."""

import asyncio
from itertools import count

from shared.domain.document import document_id
from shared.domain.page import page_of
from shared.domain.project import DEFAULT_PAGES
from tests.integration.conftest import MakeProject
from tests.support.api import accept, label


def neighbors() -> tuple[str, str]:
    """Two locations whose documents lie on one page."""
    seen: dict[int, str] = {}
    for number in count():
        location = f"neighbor-{number}.txt"
        page = page_of(document_id(location), DEFAULT_PAGES)
        if page in seen:
            return seen[page], location
        seen[page] = location
    raise AssertionError


async def test_the_second_review_of_a_document_gets_a_conflict_with_the_current_one(
    new_project: MakeProject,
) -> None:
    project = await new_project()
    [document] = await project.suggested({"a.txt": "@Refund:73 please"}, "Refund")

    [first] = await project.review([accept(document)])
    reject = {"documentId": document["id"], "eTag": document["eTag"], "rejectAll": True}
    [second] = await project.review([reject])

    assert first["status"] == "saved"
    assert second["status"] == "conflict"
    assert second["document"] == await project.document("a.txt") == first["document"]
    assert second["document"]["class"] == {"category": "Refund"}
    assert second["eTag"] == first["eTag"] != document["eTag"]


async def test_the_second_put_on_a_document_gets_409_with_the_current_one(new_project: MakeProject) -> None:
    project = await new_project()
    await project.upload({"a.txt": "Some text."})
    await project.scan()
    read = await project.document("a.txt")
    await project.put_labels("a.txt", {"class": {"category": "First"}}, read["eTag"])

    url = f"{project.path}/documents/{read['id']}/labels"
    answer = await project.http.put(
        url, json={"class": {"category": "Second"}}, headers={"If-Match": read["eTag"]}
    )

    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "Conflict"
    assert answer.json()["document"] == await project.document("a.txt")
    assert answer.json()["document"]["class"] == {"category": "First"}


async def test_of_many_reviewers_of_one_document_exactly_one_is_acknowledged(
    new_project: MakeProject,
) -> None:
    project = await new_project()
    await project.upload({"a.txt": "Some text."})
    await project.scan()
    read = await project.document("a.txt")
    url = f"{project.path}/documents/{read['id']}/labels"

    answers = await asyncio.gather(
        *(
            project.http.put(url, json={"class": {"category": f"By{n}"}}, headers={"If-Match": read["eTag"]})
            for n in range(8)
        )
    )

    saved = [n for n, answer in enumerate(answers) if answer.status_code == 200]
    assert len(saved) == 1
    assert {a.status_code for a in answers} == {200, 409}
    assert (await project.document("a.txt"))["class"] == {"category": f"By{saved[0]}"}


async def test_reviewers_of_two_documents_of_one_page_both_succeed(new_project: MakeProject) -> None:
    here, there = neighbors()
    project = await new_project()
    first, second = await project.suggested({here: "@Refund:73 a", there: "@Refund:81 b"}, "Refund")

    results = await asyncio.gather(project.review([accept(first)]), project.review([accept(second)]))

    assert [r["status"] for [r] in results] == ["saved", "saved"]
    for location in (here, there):
        assert (await project.document(location))["class"] == {"category": "Refund"}


async def test_puts_on_two_documents_of_one_page_do_not_see_each_other(new_project: MakeProject) -> None:
    here, there = neighbors()
    project = await new_project()
    await project.upload({here: "a", there: "b"})
    await project.define("Refund")
    reads = [await project.document(here), await project.document(there)]

    await project.put_labels(here, {"class": {"category": "Refund"}}, reads[0]["eTag"])
    await project.put_labels(there, {"class": {"category": "Refund"}}, reads[1]["eTag"])

    assert [d["status"] for d in await project.documents()] == ["labeled"] * 3


async def test_a_save_of_100_decisions_with_one_stale_document_saves_99(new_project: MakeProject) -> None:
    project = await new_project()
    texts = {f"d{n:03}.txt": f"@Refund:{n % 100} number {n}" for n in range(100)}
    documents = await project.suggested(texts, "Refund")
    assert len(documents) == 100
    stale = documents[41]
    await project.put_labels(stale["location"], {"class": {"category": "Refund"}})

    results = await project.review([accept(d) for d in documents])

    assert [r["documentId"] for r in results] == [d["id"] for d in documents]
    refused = [r for r in results if r["status"] != "saved"]
    assert [(r["documentId"], r["status"]) for r in refused] == [(stale["id"], "conflict")]
    assert refused[0]["document"] == await project.document(stale["location"])
    assert len(await project.documents(status="labeled")) == 101  # and the one that defined the category


async def test_what_cannot_be_decided_is_reported_document_by_document(new_project: MakeProject) -> None:
    project = await new_project()
    documents = await project.suggested({f"{n}.txt": f"@Refund:8{n}" for n in range(4)}, "Refund")
    good, bad, twice, none = documents
    unknown = document_id("unknown.txt")

    results = await project.review(
        [
            accept(good),
            {"documentId": bad["id"], "eTag": bad["eTag"], "accept": ["no-such-one"]},
            accept(twice, rejectAll=True),
            {"documentId": none["id"], "eTag": none["eTag"]},
            {"documentId": unknown, "eTag": '"a.b"', "acceptAll": True},
            {"documentId": "not-an-id", "eTag": '"a.b"', "acceptAll": True},
        ]
    )

    assert [r["status"] for r in results] == [
        "saved",
        "invalid",
        "invalid",
        "invalid",
        "notFound",
        "notFound",
    ]
    assert results[1]["error"]["target"] == "decisions[1].accept"
    assert "no-such-one" in results[1]["error"]["message"]
    assert results[2]["error"]["target"] == "decisions[2].acceptAll"
    assert results[3]["error"]["target"] == "decisions[3]"
    assert results[4]["error"]["target"] == "decisions[4].documentId"
    for document in (bad, twice, none):
        assert await project.document(document["location"]) == document


async def test_a_rejected_suggestion_is_not_made_again(new_project: MakeProject) -> None:
    project = await new_project()
    [document] = await project.suggested({"a.txt": "@Refund:73 or @Login:20"}, "Refund", "Login")
    suggestion = document["suggestions"][0]
    assert (suggestion["category"], suggestion["confidence"]) == ("Refund", 0.73)
    await project.review(
        [{"documentId": document["id"], "eTag": document["eTag"], "reject": [suggestion["id"]]}]
    )

    await project.autolabel()

    [again] = (await project.document("a.txt"))["suggestions"]
    assert again["category"] == "Login"


async def test_labels_by_hand_drop_the_suggestions_that_would_not_be_made_now(
    new_project: MakeProject,
) -> None:
    project = await new_project("CustomMultiLabelClassification")
    [document] = await project.suggested({"a.txt": "@Refund:73 and @Login:20"}, "Refund", "Login")
    assert len(document["suggestions"]) == 2

    after = await project.put_labels("a.txt", label(project.kind, "Refund"), document["eTag"])

    assert [s["category"] for s in after["suggestions"]] == ["Login"]
    assert after["status"] == "autoLabeled"
    [result] = await project.review([accept(document)])
    assert result["status"] == "conflict"


async def test_an_invalid_version_stops_only_its_own_document(new_project: MakeProject) -> None:
    project = await new_project()
    documents = await project.suggested({f"{n}.txt": f"@Refund:8{n}" for n in range(5)}, "Refund")
    etags = ["weak.0", 'W/"a.b"', "", '"stale"', documents[4]["eTag"]]

    results = await project.review(
        [accept(document, eTag=etag) for document, etag in zip(documents, etags, strict=True)]
    )

    assert [r["status"] for r in results] == ["invalid", "invalid", "invalid", "conflict", "saved"]
    assert [r["error"]["target"] for r in results[:4]] == [f"decisions[{n}].eTag" for n in range(4)]
    assert results[3]["error"]["code"] == "Conflict"
    assert results[3]["document"] == await project.document(documents[3]["location"]) == documents[3]
