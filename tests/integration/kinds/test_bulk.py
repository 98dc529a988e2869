"""Bulk decisions (rules V3, V4): filters, a dry run, progress, and the undo of the whole."""

from typing import Any

import pytest

from tests.integration.conftest import MakeProject
from tests.integration.kinds.helpers import (
    KINDS,
    categories_of,
    decision,
    history,
    refused,
    run,
    suggested,
    train,
)
from tests.support.api import ENTITIES, MULTI, SINGLE, Project, accept

TEXTS = {
    "in/high.txt": "@Refund:95 and @Login:85",
    "in/low.txt": "@Refund:40 and @Login:30",
    "out/high.txt": "@Login:90 and @Refund:81",
}


async def made(new_project: MakeProject, kind: str) -> Project:
    project = await new_project(kind)
    await project.suggested(TEXTS, "Refund", "Login")
    return project


async def bulk(project: Project, **body: Any) -> dict[str, Any]:
    job = await run(project, "/documents/:review-all", body)
    assert job["status"] == "succeeded", job
    assert job["result"]["percentComplete"] == 100
    return job


def counts(job: dict[str, Any]) -> tuple[int, int, int]:
    return tuple(job["result"][name] for name in ("matched", "changed", "conflicts"))


@pytest.mark.parametrize("kind", KINDS)
async def test_accept_all_and_undo_of_the_whole(new_project: MakeProject, kind: str):
    project = await made(new_project, kind)
    before = {d["location"]: suggested(d) for d in await project.documents(status="autoLabeled")}
    total = sum(len(suggestions) for suggestions in before.values())

    job = await bulk(project, decision="accept")

    assert counts(job) == (total, total, 0)
    assert await project.documents(status="autoLabeled") == []
    for location, categories in before.items():
        assert categories_of(await project.document(location), kind) == categories
    [entry] = await history(project, "in/high.txt")
    assert (entry["action"], len(entry["details"]["accepted"])) == ("decided", len(before["in/high.txt"]))
    assert sum(b["accepted"] for b in (await project.get("/statistics"))["calibration"]) == total

    undone = await run(project, f"/review/jobs/{job['jobId']}/:undo")
    assert (undone["status"], undone["result"]["undone"]) == ("succeeded", 3)
    after = await project.documents(status="autoLabeled")
    assert {d["location"]: suggested(d) for d in after} == before
    assert sum(b["accepted"] for b in (await project.get("/statistics"))["calibration"]) == 0
    again = await run(project, f"/review/jobs/{job['jobId']}/:undo")
    assert again["result"]["undone"] == 0


@pytest.mark.parametrize("verb", ["accept", "reject"])
async def test_one_text_of_a_category_is_decided_everywhere_and_undone_as_one(
    new_project: MakeProject, verb: str
):
    project = await new_project(ENTITIES)
    texts = {
        "a.txt": "🦊 @City:60 and @Home:60", "b.txt": "@City:60 or @City:60, not @City:61", "c.txt": "@Home:60",
    }  # fmt: skip
    await project.suggested(texts, "City", "Home")
    before = {d["location"]: suggested(d) for d in await project.documents(status="autoLabeled")}
    which = {"decision": verb, "text": "@City:60", "categories": ["City"]}

    assert counts(await bulk(project, **which, dryRun=True)) == (3, 0, 0)
    assert counts(await bulk(project, **which | {"categories": ["Home"]}, dryRun=True)) == (0, 0, 0)
    assert counts(await bulk(project, **which, minConfidence=0.61, dryRun=True)) == (0, 0, 0)
    assert counts(await bulk(project, **which, locationPrefix="b", dryRun=True)) == (2, 0, 0)
    job = await bulk(project, **which)

    assert counts(job) == (3, 3, 0)
    after = {d["location"]: suggested(d) for d in await project.documents(status="autoLabeled")}
    assert after == {"a.txt": ["Home"], "b.txt": ["City"], "c.txt": ["Home"]}
    labels = (await project.document("b.txt")).get("entities") or [{"labels": []}]
    assert len(labels[0]["labels"]) == (2 if verb == "accept" else 0)
    undone = await run(project, f"/review/jobs/{job['jobId']}/:undo")
    assert undone["result"]["undone"] == 2
    assert {d["location"]: suggested(d) for d in await project.documents(status="autoLabeled")} == before


async def test_a_text_is_that_of_the_suggestions_and_of_entities_only(new_project: MakeProject):
    project = await new_project(ENTITIES)
    await project.suggested({"a.txt": "@City:60"}, "City")
    await project.upload({"a.txt": "Another!"})  # the suggestion is of the text before
    assert counts(await bulk(project, decision="accept", text="Another!", dryRun=True))[0] == 0
    classes = await made(new_project, MULTI)
    for body in ({"text": "Refund"}, {"text": ""}, {"text": "x" * 501}):
        answer = await classes.http.post(
            f"{classes.path}/documents/:review-all", json={"decision": "accept"} | body
        )
        assert (answer.status_code, answer.json()["error"]["target"]) == (400, "text")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_dry_run_counts_and_changes_nothing(new_project: MakeProject, kind: str):
    project = await made(new_project, kind)
    before = await project.documents()
    expected = 2 if kind == SINGLE else 4

    job = await bulk(project, decision="accept", minConfidence=0.8, dryRun=True)

    assert counts(job) == (expected, 0, 0)
    assert await project.documents() == before
    assert counts(await bulk(project, decision="accept", minConfidence=0.8)) == (expected, expected, 0)


@pytest.mark.parametrize(
    ("body", "matched"),
    [
        ({}, {"in/high.txt": 2, "in/low.txt": 2, "out/high.txt": 2}),
        ({"minConfidence": 0.85}, {"in/high.txt": 2, "out/high.txt": 1}),
        ({"maxConfidence": 0.4}, {"in/low.txt": 2}),
        ({"minConfidence": 0.4, "maxConfidence": 0.81}, {"in/low.txt": 1, "out/high.txt": 1}),
        ({"categories": ["Login"]}, {"in/high.txt": 1, "in/low.txt": 1, "out/high.txt": 1}),
        ({"locationPrefix": "in/"}, {"in/high.txt": 2, "in/low.txt": 2}),
        ({"locationPrefix": "in/", "categories": ["Login"], "minConfidence": 0.5}, {"in/high.txt": 1}),
        ({"jobId": "another"}, {}),
        ({"flagged": True}, {"in/low.txt": 2}),
        ({"flagged": False, "locationPrefix": "in/"}, {"in/high.txt": 2}),
        ({"assignedTo": "Ana"}, {"out/high.txt": 2}),
        ({"assignedTo": "@none", "categories": ["Login"]}, {"in/high.txt": 1, "in/low.txt": 1}),
        ({"assignedTo": "@me"}, {}),
        ({"dataset": "Test"}, {"in/high.txt": 2}),
        ({"dataset": "Train", "flagged": False}, {"out/high.txt": 2}),
    ],
)
async def test_filters(new_project: MakeProject, body: dict[str, Any], matched: dict[str, int]):
    if _Filtered.project is None:
        _Filtered.project = await _filtered(new_project)
    project = Project(**{**vars(_Filtered.project), "http": (await new_project(create=False)).http})
    job = await bulk(project, decision="reject", dryRun=True, **body)
    assert counts(job) == (sum(matched.values()), 0, 0)
    [first] = {s["jobId"] for d in await project.documents(status="autoLabeled") for s in d["suggestions"]}
    if not body:
        assert counts(await bulk(project, decision="reject", dryRun=True, jobId=first))[0] == 6


async def _filtered(new_project: MakeProject) -> Project:
    """One document flagged, one of the dataset Test, one assigned to Ana."""
    project = await made(new_project, MULTI)
    for location, body in (("in/low.txt", {"flagged": True}), ("in/high.txt", {"dataset": "Test"})):
        document = await project.document(location)
        path = f"{project.path}/documents/{document['id']}"
        patched = await project.http.patch(path, json=body, headers={"If-Match": document["eTag"]})
        patched.raise_for_status()
    body = {"assignee": "Ana", "filter": {"locationPrefix": "out/"}}
    assigned = await project.http.post(f"{project.path}/documents/:assign", json=body)
    assert assigned.json()["assigned"] == 1
    return project


class _Filtered:
    """One project for all filters: dry runs change nothing."""

    project: Project | None = None


async def test_reject_is_remembered_and_the_rest_stays(new_project: MakeProject):
    project = await made(new_project, MULTI)
    job = await bulk(project, decision="reject", maxConfidence=0.4)
    assert counts(job) == (2, 2, 0)
    assert (await project.document("in/low.txt"))["status"] == "unlabeled"
    assert len(await project.documents(status="autoLabeled")) == 2
    await project.autolabel()
    assert (await project.document("in/low.txt"))["suggestions"] == []
    await run(project, f"/review/jobs/{job['jobId']}/:undo")
    assert suggested(await project.document("in/low.txt")) == ["Refund", "Login"]


async def test_undo_leaves_what_was_decided_since(new_project: MakeProject):
    project = await made(new_project, MULTI)
    job = await bulk(project, decision="accept", categories=["Refund"])
    left = await project.document("in/high.txt")
    await project.review([accept(left)])  # Login, by a person

    undone = await run(project, f"/review/jobs/{job['jobId']}/:undo")

    assert undone["result"] == {"undone": 2, "documents": 3, "conflicts": 1, "percentComplete": 100}
    again = await run(project, f"/review/jobs/{job['jobId']}/:undo")
    assert again["result"] == {"undone": 0, "documents": 1, "conflicts": 1, "percentComplete": 100}
    assert categories_of(await project.document("in/high.txt"), MULTI) == ["Refund", "Login"]
    assert suggested(await project.document("in/low.txt")) == ["Refund", "Login"]


async def test_training_ends_what_can_be_undone(new_project: MakeProject):
    project = await made(new_project, MULTI)
    job = await bulk(project, decision="accept")
    assert (await train(project))["status"] == "succeeded"
    status, error = await refused(project, f"/review/jobs/{job['jobId']}/:undo")
    assert status == 409
    assert "Training" in error["message"]


async def test_a_decision_meanwhile_is_no_obstacle(new_project: MakeProject):
    project = await made(new_project, MULTI)
    [document] = [d for d in await project.documents(status="autoLabeled") if d["location"] == "in/low.txt"]
    await project.review([decision(document, reject=("Refund",))])
    assert counts(await bulk(project, decision="accept")) == (5, 5, 0)
    assert categories_of(await project.document("in/low.txt"), MULTI) == ["Login"]


async def test_where_nothing_waits_a_decision_has_ended(new_project: MakeProject):
    project = await new_project(MULTI)
    assert counts(await bulk(project, decision="accept")) == (0, 0, 0)


async def test_what_makes_no_sense_is_refused(new_project: MakeProject):
    project = await made(new_project, MULTI)
    for body, target in (
        ({"decision": "accept", "minConfidence": 0.9, "maxConfidence": 0.1}, "minConfidence"),
        ({"decision": "accept", "categories": ["Unheard"]}, "categories[0]"),
        ({"decision": "maybe"}, "decision"),
        ({"decision": "accept", "minConfidence": 1.5}, "minConfidence"),
    ):
        status, error = await refused(project, "/documents/:review-all", body)
        assert (status, error["target"]) == (400, target), body


async def test_bulk_decisions_are_listed_newest_first(new_project: MakeProject):
    project = await made(new_project, MULTI)
    jobs = [await bulk(project, decision="accept", dryRun=True) for _ in range(3)]
    await run(project, f"/review/jobs/{jobs[0]['jobId']}/:undo")

    first = await project.get("/review/jobs", top=2)
    rest = await project.get("/review/jobs", top=2, continuationToken=first["continuationToken"])

    assert first["value"] + rest["value"] == jobs[::-1]
    assert "continuationToken" not in rest
