"""Suggestions and decisions in the three kinds (rules A3, A4, A7, A9, A10, A15, A16, V1, V2, V4, V5)."""

from typing import Any

import pytest

from shared.domain.document import document_id
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
from tests.support.api import ENTITIES, MULTI, SINGLE, accept, label

TEXT = "@Refund:73 and then @Login:20"
#: What each kind suggests for TEXT.
MADE = {SINGLE: ["Refund"], MULTI: ["Refund", "Login"], ENTITIES: ["Refund", "Login"]}
each_kind = pytest.mark.parametrize("kind", KINDS)


@each_kind
async def test_a_job_suggests_what_the_engine_finds(new_project: MakeProject, kind: str):
    project = await new_project(kind)
    [document] = await project.suggested({"a.txt": TEXT, "none.txt": "nothing to find"}, "Refund", "Login")

    assert suggested(document) == MADE[kind]
    first = document["suggestions"][0]
    assert (first["confidence"], first["engine"], first["model"]) == (0.73, "scripted", None)
    if kind == ENTITIES:
        assert [(s["offset"], s["length"]) for s in document["suggestions"]] == [(0, 10), (20, 9)]
    else:
        assert "offset" not in first
    [job] = (await project.get("/autolabel/jobs"))["value"]
    assert first["jobId"] == job["jobId"]
    assert job["result"]["outcomes"] == {"suggested": 1, "nothingFound": 1, "skipped": 0, "failed": 0}
    outcomes = (await project.get(f"/autolabel/jobs/{job['jobId']}/documents"))["value"]
    assert {o["location"]: o["outcome"] for o in outcomes} == {
        "a.txt": "suggested",
        "none.txt": "nothingFound",
    }


@each_kind
async def test_accept_all_makes_labels_and_keeps_their_provenance(new_project: MakeProject, kind: str):
    project = await new_project(kind)
    [document] = await project.suggested({"a.txt": TEXT}, "Refund", "Login")

    [result] = await project.review([accept(document)])

    assert result["status"] == "saved"
    assert categories_of(result["document"], kind) == MADE[kind]
    assert (result["document"]["status"], result["document"]["suggestions"]) == ("labeled", [])
    if kind == ENTITIES:
        [region] = result["document"]["entities"]
        assert (region["regionOffset"], region["regionLength"]) == (0, len(TEXT))
    [entry] = await history(project, "a.txt")
    assert (entry["action"], entry["by"]) == ("decided", "labelbridge-local")
    kept = ("category", "confidence", "jobId", "engine", "model")
    recorded = [{name: suggestion[name] for name in kept} for suggestion in entry["details"]["accepted"]]
    assert recorded == [{name: suggestion[name] for name in kept} for suggestion in document["suggestions"]]
    assert entry["details"]["rejected"] == []


@each_kind
async def test_reject_all_leaves_the_document_unlabeled_and_is_remembered(
    new_project: MakeProject, kind: str
):
    project = await new_project(kind)
    [document] = await project.suggested({"a.txt": "@Refund:73 please"}, "Refund")
    reject = {"documentId": document["id"], "eTag": document["eTag"], "rejectAll": True}

    [result] = await project.review([reject])
    assert (result["document"]["status"], result["document"]["suggestions"]) == ("unlabeled", [])

    await project.autolabel()
    assert (await project.document("a.txt"))["suggestions"] == []  # A4
    await project.upload({"a.txt": "@Refund:73 please, said anew"})
    await project.scan()
    await project.autolabel()
    assert suggested(await project.document("a.txt")) == ["Refund"]  # other content


@pytest.mark.parametrize("kind", [MULTI, ENTITIES])
async def test_suggestions_are_decided_one_by_one(new_project: MakeProject, kind: str):
    project = await new_project(kind)
    [document] = await project.suggested({"a.txt": f"{TEXT}, and @Other:40"}, "Refund", "Login", "Other")

    [result] = await project.review([decision(document, accept=("Refund",), reject=("Other",))])

    after = result["document"]
    assert (after["status"], suggested(after)) == ("autoLabeled", ["Login"])
    assert categories_of(after, kind) == ["Refund"]
    [again] = await project.review([accept(after, reject=decision(after, reject=("Login",))["reject"])])
    assert again["document"]["status"] == "labeled"
    assert categories_of(again["document"], kind) == ["Refund"]


@each_kind
async def test_no_suggestion_repeats_contradicts_or_overlaps_a_label(new_project: MakeProject, kind: str):
    project = await new_project(kind)
    await project.upload({"a.txt": TEXT})
    await project.define("Refund", "Login")
    await project.put_labels("a.txt", _over_refund(kind))

    job = await project.autolabel(documents=[document_id("a.txt")])

    after = await project.document("a.txt")
    assert suggested(after) == ([] if kind == SINGLE else ["Login"])
    [outcome] = (await project.get(f"/autolabel/jobs/{job['jobId']}/documents"))["value"]
    assert outcome["outcome"] == ("skipped" if kind == SINGLE else "suggested")
    if kind == SINGLE:
        assert outcome["error"]["code"] == "AlreadyLabeled"


@each_kind
async def test_a_label_by_hand_drops_pending_ones_that_would_now_not_be_made(
    new_project: MakeProject, kind: str
):
    project = await new_project(kind)
    [document] = await project.suggested({"a.txt": TEXT}, "Refund", "Login")

    after = await project.put_labels("a.txt", _over_refund(kind), document["eTag"])

    assert suggested(after) == ([] if kind == SINGLE else ["Login"])
    assert after["status"] == ("labeled" if kind == SINGLE else "autoLabeled")


@each_kind
async def test_the_threshold_is_the_lowest_confidence_suggested(new_project: MakeProject, kind: str):
    project = await new_project(kind)
    await _settings(project, confidenceThreshold=0.73)
    await project.upload({"low.txt": "@Refund:72 x"})
    [document] = await project.suggested({"at.txt": "@Refund:73 x"}, "Refund")
    assert document["location"] == "at.txt"

    await _settings(project, confidenceThreshold=0)
    await project.autolabel()
    assert suggested(await project.document("low.txt")) == ["Refund"]


@each_kind
async def test_a_later_job_replaces_the_suggestions_and_may_want_few_categories(
    new_project: MakeProject, kind: str
):
    project = await new_project(kind)
    [document] = await project.suggested({"a.txt": TEXT}, "Refund", "Login")

    job = await project.autolabel(documents=[document["id"]], categories=["Login"])

    after = await project.document("a.txt")
    assert suggested(after) == ["Login"]
    assert {s["jobId"] for s in after["suggestions"]} == {job["jobId"]}
    status, error = await refused(project, "/autolabel/jobs", {"categories": ["Unheard"]})
    assert (status, error["target"]) == (400, "categories[0]")


@each_kind
async def test_fitting_for_a_job_makes_no_model_and_ends_no_generation(new_project: MakeProject, kind: str):
    project = await new_project(kind)
    await project.suggested({"a.txt": TEXT}, "Refund", "Login")
    await project.upload({"b.txt": TEXT})
    await project.scan()

    await project.autolabel()

    assert suggested(await project.document("a.txt")) == MADE[kind]
    assert suggested(await project.document("b.txt")) == MADE[kind]
    assert (await project.get("/models"))["value"] == []
    assert (await project.get("/train/jobs"))["value"] == []


@each_kind
async def test_too_few_labels_are_a_reason_not_a_riddle(new_project: MakeProject, kind: str):
    project = await new_project(kind, create=False)
    await project.create(settings={"autolabel": {"onUpload": False, "engine": "embedded"}})
    await project.upload({"a.txt": "Some text."})
    await project.scan()

    job = await project.autolabel()

    assert job["status"] == "failed"
    [error] = job["errors"]
    assert error["code"] == "NotEnoughLabels"
    assert any(character.isdigit() for character in error["message"])


@each_kind
async def test_a_model_is_used_by_its_label_and_the_newest_by_default(new_project: MakeProject, kind: str):
    project = await new_project(kind)
    await project.upload({"a.txt": TEXT})
    await project.define("Refund", "Login")
    for name in ("first", "second"):
        assert (await train(project, name))["status"] == "succeeded"

    newest = await project.autolabel(documents=[document_id("a.txt")])
    assert newest["result"]["modelLabel"] == "second"
    assert (await project.document("a.txt"))["suggestions"][0]["model"] == "second"

    named = await project.autolabel(documents=[document_id("a.txt")], modelLabel="first")
    assert named["result"]["modelLabel"] == "first"
    assert (await project.document("a.txt"))["suggestions"][0]["model"] == "first"

    status, error = await refused(project, "/autolabel/jobs", {"modelLabel": "third"})
    assert (status, error["target"]) == (404, "modelLabel")


@each_kind
async def test_the_last_decision_is_undone_until_training(new_project: MakeProject, kind: str):
    project = await new_project(kind)
    [document] = await project.suggested({"a.txt": TEXT}, "Refund", "Login")
    undo = f"/documents/{document['id']}/:undo"
    assert (await refused(project, undo))[0] == 409  # nothing was decided

    await project.review([accept(document)])
    answer = await project.http.post(f"{project.path}{undo}")
    assert answer.status_code == 200, answer.text
    assert suggested(answer.json()) == MADE[kind]
    assert answer.json()["status"] == "autoLabeled"
    assert [e["action"] for e in await history(project, "a.txt")] == ["decisionUndone", "decided"]
    assert sum(b["accepted"] for b in (await project.get("/statistics"))["calibration"]) == 0

    [again] = await project.review([accept(answer.json())])
    assert again["status"] == "saved"
    await train(project)
    status, error = await refused(project, undo)
    assert status == 409
    assert "training" in error["message"]
    assert (await project.document("a.txt"))["status"] == "labeled"


@each_kind
async def test_calibration_counts_real_decisions_by_band(new_project: MakeProject, kind: str):
    project = await new_project(kind)
    texts = {f"{n}.txt": f"@Refund:{p} x" for n, p in enumerate((72, 75, 79, 95, 100))}
    documents = {d["location"]: d for d in await project.suggested(texts, "Refund")}
    await project.review([accept(documents[f"{n}.txt"]) for n in (0, 3, 4)])
    reject = documents["1.txt"]
    await project.review([{"documentId": reject["id"], "eTag": reject["eTag"], "rejectAll": True}])

    bands = (await project.get("/statistics"))["calibration"]

    assert [(b["accepted"], b["rejected"]) for b in bands[7:]] == [(1, 1), (0, 0), (2, 0)]
    assert [b["acceptedShare"] for b in bands[6:]] == [None, 0.5, None, 1.0]
    assert (bands[9]["minConfidence"], bands[9]["maxConfidence"]) == (0.9, 1.0)


@each_kind
async def test_the_estimate_is_what_the_job_then_takes(new_project: MakeProject, kind: str):
    project = await new_project(kind)
    await project.upload({"long.txt": "@Refund:50 " + "x" * 1_500, "short.txt": "@Refund:60"})
    await project.define("Refund")

    answer = await project.http.post(f"{project.path}/autolabel/:estimate", json={})
    assert answer.json() == {"engine": "scripted", "documents": 2, "textRecords": 3}
    assert (await project.get("/autolabel/jobs"))["value"] == []
    assert (await project.autolabel())["result"]["textRecords"] == 3
    assert (await run(project, "/autolabel/jobs", {}))["result"][
        "documentsTotal"
    ] == 0  # nothing is unlabeled


def _over_refund(kind: str) -> dict[str, Any]:
    """A label that the suggestion of Refund in TEXT repeats, contradicts or overlaps."""
    if kind != ENTITIES:
        return label(kind, "Refund" if kind == MULTI else "Login")
    entity = {"category": "Login", "offset": 8, "length": 4}
    return {"entities": [{"regionOffset": 0, "regionLength": len(TEXT), "labels": [entity]}]}


async def _settings(project: Any, **settings: Any) -> None:
    answer = await project.http.patch(project.path, json={"settings": settings})
    assert answer.status_code == 200, answer.text
