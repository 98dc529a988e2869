"""The history of a document on the wire: labels as in the project file, exact under paging (rules V1, V5)."""

from typing import Any

import pytest

from shared.domain.document import document_id
from tests.integration.conftest import MakeProject
from tests.integration.kinds.helpers import FIELDS, KINDS, NOTHING, history, run
from tests.support.api import ENTITIES, accept, label

A = document_id("a.txt")


def change_of(entry: dict[str, Any]) -> tuple[Any, Any]:
    return entry["details"]["before"], entry["details"]["after"]


@pytest.mark.parametrize("kind", KINDS)
async def test_labels_are_reported_as_in_the_project_file(new_project: MakeProject, kind: str) -> None:
    project = await new_project(kind)
    await project.upload({"a.txt": "Some text."})
    await project.scan()
    nothing = {FIELDS[kind]: NOTHING[kind]}
    for labels in (label(kind, "Refund"), nothing, {FIELDS[kind]: None}):
        await project.put_labels("a.txt", labels)

    assert [change_of(entry) for entry in await history(project, "a.txt")] == [
        (nothing, None),
        (label(kind, "Refund"), nothing),
        (None, label(kind, "Refund")),
    ]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_decision_of_many_and_its_undo_name_the_review_job(
    new_project: MakeProject, kind: str
) -> None:
    project = await new_project(kind)
    await project.suggested({"a.txt": "@Refund:73"}, "Refund")
    job = await run(project, "/documents/:review-all", {"decision": "accept"})
    accepted = (await project.document("a.txt"))[FIELDS[kind]]
    await run(project, f"/review/jobs/{job['jobId']}/:undo")

    undone, decided = await history(project, "a.txt")

    assert change_of(decided) == (None, {FIELDS[kind]: accepted})
    assert change_of(undone) == ({FIELDS[kind]: accepted}, None)
    assert {e["details"]["reviewJobId"] for e in (undone, decided)} == {job["jobId"]}
    if kind == ENTITIES:
        assert accepted[0]["labels"] == [{"category": "Refund", "offset": 0, "length": 10}]


async def test_a_decision_of_one_names_no_review_job(new_project: MakeProject) -> None:
    project = await new_project()
    [document] = await project.suggested({"a.txt": "@Refund:73"}, "Refund")
    await project.review([accept(document)])
    [entry] = await history(project, "a.txt")
    assert "reviewJobId" not in entry["details"]


async def test_changed_settings_are_reported_before_and_after(new_project: MakeProject) -> None:
    project = await new_project()
    await project.upload({"a.txt": "text"})
    await project.scan()
    await project.http.patch(
        f"{project.path}/documents/{A}", json={"dataset": "Test"}, headers={"If-Match": "*"}
    )
    [entry] = await history(project, "a.txt")
    before = {"dataset": "Train", "language": "en-us", "contentChanged": False}
    assert change_of(entry) == (before, before | {"dataset": "Test"})


async def test_a_change_between_two_pages_repeats_and_skips_nothing(new_project: MakeProject) -> None:
    project = await new_project()
    await project.upload({"a.txt": "text"})
    await project.scan()
    for category in "ABCD":
        await project.put_labels("a.txt", label(project.kind, category))
    whole = await history(project, "a.txt")

    first = await project.get(f"/documents/{A}/history", top=2)
    await project.put_labels("a.txt", label(project.kind, "E"))
    rest = await project.get(f"/documents/{A}/history", top=9, continuationToken=first["continuationToken"])

    assert first["value"] + rest["value"] == whole
    assert len(await history(project, "a.txt")) == 5
