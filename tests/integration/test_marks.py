"""Flags and notes of documents: for people, kept through everything that happens to the document."""

import asyncio
from typing import Any

import httpx
import pytest

from shared.domain.document import document_id
from tests.integration.conftest import MakeProject
from tests.integration.kinds.helpers import KINDS, export, history, train
from tests.support.api import Project, accept, label
from tests.support.hosts import Host

MARK: dict[str, Any] = {"flagged": True, "note": "Ask legal.\nBefore Friday."}


async def patch(project: Project, location: str, body: dict[str, Any], etag: str = "*") -> httpx.Response:
    url = f"{project.path}/documents/{document_id(location)}"
    return await project.http.patch(url, json=body, headers={"If-Match": etag})


async def mark(project: Project, location: str, **body: Any) -> dict[str, Any]:
    answer = await patch(project, location, body or MARK)
    assert answer.status_code == 200, answer.text
    return answer.json()


def marks(document: dict[str, Any]) -> tuple[bool, str | None]:
    return document["flagged"], document.get("note")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_mark_is_kept_with_the_document_whatever_happens_to_it(
    new_project: MakeProject, kind: str
) -> None:
    project = await new_project(kind)
    await project.suggested({"a.txt": "Text @Refund:73", "b.txt": "Text @Refund:74"}, "Refund", "Login")
    assert marks(await project.document("a.txt")) == (False, None)
    assert marks(await mark(project, "a.txt")) == (True, MARK["note"])

    async def kept() -> dict[str, Any]:
        document = await project.document("a.txt")
        assert marks(document) == (True, MARK["note"])
        return document

    [result] = await project.review([accept(await kept())])
    assert marks(result["document"]) == (True, MARK["note"])
    await project.http.post(f"{project.path}/documents/{document_id('a.txt')}/:undo")
    assert (await kept())["status"] == "autoLabeled"
    await project.put_labels("a.txt", label(kind, "Login"))
    renamed = {"value": [{"category": "Money", "previousCategory": "Refund"}]}
    assert (await project.http.put(f"{project.path}/categories", json=renamed)).status_code == 200
    await project.upload({"a.txt": "Other text @Refund:73"})
    await project.scan()
    assert (await kept())["contentChanged"]
    await mark(project, "a.txt", contentChanged=False)
    await project.put_labels("b.txt", label(kind, "Money"))
    assert (await train(project))["status"] == "succeeded"
    await kept()
    assert not (await export(project))["assets"]["documents"][0].keys() & {"flagged", "note"}


async def test_a_marked_document_outlives_its_blob_until_the_mark_goes(new_project: MakeProject) -> None:
    project = await new_project()
    await project.upload({"a.txt": "one", "b.txt": "two", "c.txt": "three", "d.txt": "four"})
    await project.scan()
    await mark(project, "a.txt", note="See the copy in archive/.")
    await mark(project, "b.txt", flagged=True)
    for name in ("a.txt", "b.txt", "c.txt"):
        await project.blobs.delete(project.container, name)
    url = f"{project.path}/documents/:scan"
    answer = await project.http.post(url, json={"confirmRemovals": True})
    await project.ended(answer.headers["operation-location"])
    assert [(d["location"], d["missing"]) for d in await project.documents(orderby="location")] == [
        ("a.txt", True),
        ("b.txt", True),
        ("d.txt", False),
    ]
    await mark(project, "b.txt", flagged=False)
    await project.scan()
    assert [d["location"] for d in await project.documents(orderby="location")] == ["a.txt", "d.txt"]


async def test_flagged_documents_are_listed_and_counted_exactly(new_project: MakeProject) -> None:
    project = await new_project()
    await project.upload({f"{n}.txt": f"text {n}" for n in range(6)})
    await project.scan()
    await asyncio.gather(*(mark(project, f"{n}.txt", flagged=True) for n in (1, 3, 5)))
    await project.put_labels("3.txt", label(project.kind, "Refund"))
    await mark(project, "5.txt", flagged=False, note="Done.")

    async def names(**query: Any) -> list[str]:
        return [d["location"] for d in await project.documents(orderby="location", **query)]

    assert await names(flagged="true") == ["1.txt", "3.txt"]
    assert await names(flagged="true", top=1) == ["1.txt", "3.txt"]
    assert await names(flagged="false") == ["0.txt", "2.txt", "4.txt", "5.txt"]
    assert await names(flagged="true", status="labeled") == ["3.txt"]
    assert (await project.get("/statistics"))["documents"]["flagged"] == 2
    for order in ("id", "uncertainty"):
        found = await project.documents(flagged="true", orderby=order)
        assert {d["location"] for d in found} == {"1.txt", "3.txt"}


async def test_two_people_never_overwrite_a_note_silently(new_project: MakeProject) -> None:
    project = await new_project()
    await project.upload({"a.txt": "text"})
    await project.scan()
    read = await project.document("a.txt")
    mine = await patch(project, "a.txt", {"note": "Mine."}, read["eTag"])
    assert (mine.status_code, mine.json()["eTag"] != read["eTag"]) == (200, True)
    theirs = await patch(project, "a.txt", {"note": "Theirs."}, read["eTag"])
    assert theirs.status_code == 409
    assert marks(theirs.json()["document"]) == (False, "Mine.")
    url = f"{project.path}/documents/{read['id']}/labels"
    stale = await project.http.put(
        url, json=label(project.kind, "Refund"), headers={"If-Match": read["eTag"]}
    )
    assert stale.status_code == 409
    assert marks(await project.document("a.txt")) == (False, "Mine.")


async def test_a_repeat_changes_nothing(new_project: MakeProject) -> None:
    """Also with the version from before the first one, whose answer was lost."""
    project = await new_project()
    await project.upload({"a.txt": "text"})
    await project.scan()
    before = (await project.document("a.txt"))["eTag"]
    first = (await patch(project, "a.txt", MARK, before)).json()
    again = await patch(project, "a.txt", MARK, before)
    assert (again.status_code, again.json()) == (200, first)
    assert len(await history(project, "a.txt")) == 1


def set_in(settings: dict[str, Any]) -> tuple[bool, str]:
    """Flag and note of a row of the history, which leaves out what nobody set."""
    return settings.get("flagged", False), settings.get("note", "")


async def test_the_history_says_what_a_mark_was_and_is(new_project: MakeProject) -> None:
    project = await new_project()
    await project.upload({"a.txt": "text"})
    await project.scan()
    await mark(project, "a.txt")
    for empty in ("", None, "  \n"):
        await mark(project, "a.txt", note="Later.")
        assert marks(await mark(project, "a.txt", note=empty)) == (True, None)
    assert marks(await mark(project, "a.txt", flagged=None)) == (False, None)
    entries = [
        (entry["action"], set_in(entry["details"]["before"]), set_in(entry["details"]["after"]))
        for entry in await history(project, "a.txt")
    ]
    assert entries[-1] == ("documentChanged", (False, ""), (True, MARK["note"]))
    assert entries[0] == ("documentChanged", (True, ""), (False, ""))
    assert len(entries) == 8


@pytest.mark.parametrize(
    ("body", "target"),
    [
        ({"note": "x" * 2_001}, "note"),
        ({"note": 5}, "note"),
        ({"flagged": "yes"}, "flagged"),
        ({"flag": True}, "flag"),
    ],
)
async def test_a_bad_mark_names_the_field(sample: Project, body: dict[str, Any], target: str) -> None:
    answer = await patch(sample, "a.txt", body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["target"]) == (400, "InvalidArgument", target)
    assert (await patch(sample, "a.txt", {"note": "ü" * 2_000})).status_code == 200


async def test_marking_needs_the_role_of_reviewers(sample: Project, host: Host) -> None:
    answer = await sample.http.patch(
        f"{sample.path}/documents/{document_id('a.txt')}",
        json=MARK,
        headers={"If-Match": "*", "Ocp-Apim-Subscription-Key": "reader"},
    )
    assert answer.status_code == 403
    assert "Labels.Review" in answer.json()["error"]["message"]
