"""Documents as reviewers find, change and follow them: lists, undo, history, patch, scan (rules D1 to D6, V4, V5)."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from shared.domain.document import document_id
from tests.integration.conftest import MakeProject
from tests.support.api import ENTITIES, PROJECTS, SINGLE, Project, accept, unique

type Json = dict[str, Any]


async def mixed(new_project: MakeProject) -> Project:
    """30 documents with suggestions of two categories, two labeled by hand, one rejected, one in Test."""
    project = await new_project()
    texts = {f"{'ab'[n % 2]}/{n:02}.txt": f"@{('Refund', 'Login')[n % 3 == 0]}:{40 + n}" for n in range(30)}
    await project.upload({"broken.pdf": "x"})
    await project.suggested(texts, "Refund", "Login")
    await project.http.patch(
        f"{project.path}/documents/{document_id('a/00.txt')}",
        json={"dataset": "Test"},
        headers={"If-Match": "*"},
    )
    return project


def locations(documents: list[Json]) -> list[str]:
    return [document["location"] for document in documents]


async def test_filters_orders_and_pages_of_the_list(new_project: MakeProject) -> None:
    project = await mixed(new_project)
    everything = await project.documents(top=1000)
    assert len(everything) == 33
    ids = [document["id"] for document in everything]
    assert ids == sorted(ids)

    for orderby in ("id", "location", "uncertainty"):
        whole = await project.documents(top=1000, orderby=orderby)
        for top in (1, 7, 33):
            assert await project.documents(top=top, orderby=orderby) == whole, (orderby, top)
    by_location = locations(await project.documents(orderby="location"))
    assert by_location == sorted(by_location)

    by_uncertainty = await project.documents(orderby="uncertainty")
    confidences = [max((s["confidence"] for s in d["suggestions"]), default=2) for d in by_uncertainty]
    assert confidences == sorted(confidences)
    assert confidences[:2] == [0.4, 0.41]
    assert all(document["id"] < other["id"] for document, other in pairwise(by_uncertainty[-3:]))

    assert len(await project.documents(status="autoLabeled")) == 30
    assert sorted(locations(await project.documents(status="labeled"))) == ["~Login.txt", "~Refund.txt"]
    assert locations(await project.documents(status="rejected")) == ["broken.pdf"]
    assert await project.documents(status="unlabeled") == []
    assert locations(await project.documents(dataset="Test")) == ["a/00.txt"]
    assert len(await project.documents(locationPrefix="a/")) == 15
    assert len(await project.documents(category="Login")) == 11
    assert [d["excerpt"] for d in everything if d["location"] in {"a/00.txt", "broken.pdf"}] == (
        ["@Login:40", ""]
        if ids.index(document_id("a/00.txt")) < ids.index(document_id("broken.pdf"))
        else ["", "@Login:40"]
    )
    assert len(await project.documents(category="Login", status="autoLabeled", locationPrefix="a/")) == 5
    [job] = (await project.get("/autolabel/jobs"))["value"]
    assert len(await project.documents(jobId=job["jobId"], top=7)) == 30
    assert await project.documents(jobId="other") == []
    assert await project.documents(category="Other") == []


async def test_a_range_of_confidence_and_the_exact_count(new_project: MakeProject) -> None:
    project = await mixed(new_project)
    filters: list[Json] = [
        {},
        {"status": "autoLabeled"},
        {"dataset": "Test"},
        {"category": "Login"},
        {"locationPrefix": "a/"},
        {"minConfidence": 0.5},
        {"maxConfidence": 0.5},
        {"minConfidence": 0.455, "maxConfidence": 0.6, "category": "Refund", "locationPrefix": "b/"},
        {"minConfidence": 0.99},
    ]
    for query in filters:
        for orderby in ("id", "location", "uncertainty"):
            found = await project.documents(top=1000, orderby=orderby, **query)
            assert await project.documents(top=2, orderby=orderby, **query) == found
            page = await project.get("/documents", top=1, orderby=orderby, count="true", **query)
            assert page["count"] == len(found)
            low, high = query.get("minConfidence", 0), query.get("maxConfidence", 1)
            if (low, high) != (0, 1):
                confidences = [s["confidence"] for d in found for s in d["suggestions"]]
                assert all(low <= confidence <= high for confidence in confidences)
    assert len(await project.documents(minConfidence=0.5)) == 20
    assert len(await project.documents(minConfidence=0.5, maxConfidence=0.5)) == 1
    assert "count" not in await project.get("/documents")

    for query, target in (
        ({"minConfidence": "2"}, "minConfidence"),
        ({"minConfidence": "0.6", "maxConfidence": "0.5"}, "minConfidence"),
        ({"count": "many"}, "count"),
    ):
        answer = await project.http.get(f"{project.path}/documents", params=query)
        assert (answer.status_code, answer.json()["error"]["target"]) == (400, target)


async def test_a_range_of_confidence_is_of_any_suggestion_of_an_entity_document(
    new_project: MakeProject,
) -> None:
    project = await new_project(ENTITIES)
    await project.suggested(
        {"a.txt": "@Person:20 in @City:90", "b.txt": "@Person:50", "c.txt": "nothing"}, "Person", "City"
    )
    for query, expected in (
        ({"minConfidence": 0.9}, ["a.txt"]),
        ({"maxConfidence": 0.3}, ["a.txt"]),
        ({"minConfidence": 0.3, "maxConfidence": 0.6}, ["b.txt"]),
        ({"minConfidence": 0.9, "category": "Person"}, []),
    ):
        for orderby in ("id", "uncertainty"):
            assert locations(await project.documents(orderby=orderby, **query)) == expected


async def test_the_list_by_uncertainty_stays_exact_while_others_review(new_project: MakeProject) -> None:
    """Paging returns each unchanged document exactly once."""
    project = await new_project()
    texts = {f"{n:02}.txt": f"@Refund:{30 + n // 4}" for n in range(60)}
    documents = await project.suggested(texts, "Refund")
    touched = documents[::3]

    async def page_through(orderby: str) -> list[str]:
        return locations(await project.documents(top=4, orderby=orderby))

    async def review() -> None:
        for document in touched:
            await project.review([accept(document)])

    reviewing = asyncio.create_task(review())
    lists = await asyncio.gather(*(page_through(orderby) for orderby in ("uncertainty", "id", "location")))
    await reviewing

    untouched = sorted(set(texts) - set(locations(touched)))
    for found in lists:
        assert sorted(location for location in found if location in untouched) == untouched


async def test_labels_set_by_hand_and_cleared_are_undone(new_project: MakeProject) -> None:
    project = await new_project(SINGLE)
    [suggested] = await project.suggested({"a.txt": "@Refund:60"}, "Refund", "Praise")
    url = f"{project.path}/documents/{suggested['id']}"
    praise, refund = ({"class": {"category": name}} for name in ("Praise", "Refund"))

    await project.put_labels("a.txt", praise)
    undone = await project.http.post(f"{url}/:undo")
    assert undone.status_code == 200
    assert "class" not in undone.json()
    assert undone.json()["suggestions"] == suggested["suggestions"]

    await project.put_labels("a.txt", refund)
    await project.put_labels("a.txt", {"class": None})
    cleared = await project.http.post(f"{url}/:undo")
    assert cleared.json()["class"] == refund["class"]
    actions = [
        entry["action"] for entry in (await project.get(f"/documents/{suggested['id']}/history"))["value"]
    ]
    assert actions == ["labelsUndone", "labelsSet", "labelsSet", "labelsUndone", "labelsSet"]


async def test_a_relabeled_suggestion_is_undone_in_two_steps(new_project: MakeProject) -> None:
    """One save in the page rejects the suggestion and then sets the label."""
    project = await new_project(SINGLE)
    [suggested] = await project.suggested({"a.txt": "@Refund:60"}, "Refund", "Praise")
    url = f"{project.path}/documents/{suggested['id']}"
    decision = {"documentId": suggested["id"], "eTag": suggested["eTag"], "rejectAll": True}
    [saved] = await project.review([decision])
    await project.put_labels("a.txt", {"class": {"category": "Praise"}}, saved["eTag"])

    headers = {"Idempotency-Key": unique("key")}
    first = await project.http.post(f"{url}/:undo", headers=headers)
    again = await project.http.post(f"{url}/:undo", headers=headers)
    assert first.json() == again.json(), "a repeat undoes nothing more"
    assert first.json()["suggestions"] == []
    second = await project.http.post(f"{url}/:undo")
    assert second.json()["suggestions"] == suggested["suggestions"]
    assert (await project.http.post(f"{url}/:undo")).status_code == 409


async def test_undo_reverts_the_last_decision_once(new_project: MakeProject) -> None:
    project = await new_project("CustomMultiLabelClassification")
    [document] = await project.suggested({"a.txt": "@Refund:73 @Login:50"}, "Refund", "Login")
    url = f"{project.path}/documents/{document['id']}"
    chosen = document["suggestions"][0]
    decision = {"documentId": document["id"], "eTag": document["eTag"], "accept": [chosen["id"]]}
    [saved] = await project.review([decision])
    assert saved["document"]["classes"] == [{"category": "Refund"}]

    stale = await project.http.post(f"{url}/:undo", headers={"If-Match": document["eTag"]})
    undone = await project.http.post(f"{url}/:undo", headers={"If-Match": saved["eTag"]})
    again = await project.http.post(f"{url}/:undo")

    assert (stale.status_code, again.status_code) == (409, 409)
    assert undone.status_code == 200
    assert undone.headers["etag"] == undone.json()["eTag"] != document["eTag"]
    assert "classes" not in undone.json()
    assert undone.json()["suggestions"] == document["suggestions"]
    history = (await project.get(f"/documents/{document['id']}/history"))["value"]
    assert [entry["action"] for entry in history] == ["decisionUndone", "decided"]


async def test_history_tells_who_when_and_from_what(new_project: MakeProject) -> None:
    project = await new_project()
    [document] = await project.suggested({"a.txt": "@Refund:73"}, "Refund")
    [saved] = await project.review([accept(document)])
    await project.put_labels("a.txt", {"class": {"category": "Login"}}, saved["eTag"])

    whole = (await project.get(f"/documents/{document['id']}/history"))["value"]
    assert [(e["action"], e["by"]) for e in whole] == [
        ("labelsSet", "labelbridge-local"),
        ("decided", "labelbridge-local"),
    ]
    accepted = whole[1]["details"]["accepted"][0]
    suggestion = document["suggestions"][0]
    assert {
        k: accepted[k] for k in ("id", "category", "confidence", "jobId", "engine", "model")
    } == suggestion
    assert whole[0]["details"] == {
        "before": {"class": {"category": "Refund"}},
        "after": {"class": {"category": "Login"}},
    }
    first = await project.get(f"/documents/{document['id']}/history", top=1)
    rest = await project.get(
        f"/documents/{document['id']}/history", top=1, continuationToken=first["continuationToken"]
    )
    assert first["value"] + rest["value"] == whole
    assert "continuationToken" not in rest


async def test_patch_sets_dataset_and_language_and_confirms_content(new_project: MakeProject) -> None:
    project = await new_project()
    await project.upload({"a.txt": "old"})
    await project.scan()
    await project.registered(1)
    labeled = await project.put_labels("a.txt", {"class": {"category": "Refund"}})
    await project.upload({"a.txt": "new"})
    await project.scan()
    changed = await project.document("a.txt")
    assert changed["contentChanged"]
    assert changed["class"] == {"category": "Refund"}
    assert changed["eTag"] != labeled["eTag"]

    answer = await project.http.patch(
        f"{project.path}/documents/{changed['id']}",
        json={"dataset": "Test", "language": "de", "contentChanged": False},
        headers={"If-Match": changed["eTag"]},
    )

    after = answer.json()
    assert answer.status_code == 200
    assert answer.headers["etag"] == after["eTag"]
    assert (after["dataset"], after["language"], after["contentChanged"]) == ("Test", "de", False)
    assert await project.document("a.txt") == after


async def test_the_text_is_what_lies_in_the_container(new_project: MakeProject) -> None:
    project = await new_project()
    text = "Zeile 1\r\nZeile 2\rLS\u2028 \U0001f468\u200d\U0001f469\u200d\U0001f467 \u202eevil <script>"
    await project.upload({"a.txt": b"\xef\xbb\xbf" + text.encode()})
    await project.scan()
    url = f"{project.path}/documents/{document_id('a.txt')}/text"

    plain = await project.http.get(url)
    as_json = await project.http.get(url, headers={"Accept": "application/json"})

    assert plain.content == text.encode()
    assert plain.headers["content-type"] == "text/plain; charset=utf-8"
    length = len(text.encode("utf-16-le")) // 2
    assert as_json.json() == {"text": text, "length": length}
    assert (await project.document("a.txt"))["length"] == length
    await project.blobs.delete(project.container, "a.txt")
    assert (await project.http.get(url)).status_code == 409


async def test_scan_registers_what_is_there_and_forgets_what_is_gone(new_project: MakeProject) -> None:
    project = await new_project()
    await project.upload({"a.txt": "a", "b.txt": "b"})
    first = await project.scan()
    assert first["result"] | {"new": 2, "blobs": 2} == first["result"]
    assert len(await project.documents()) == 2
    await project.blobs.delete(project.container, "a.txt")
    await project.upload({"b.txt": "changed"})

    second = await project.scan()

    assert second["result"] | {"new": 0, "changed": 1, "gone": 1} == second["result"]
    assert locations(await project.documents()) == ["b.txt"]
    third = await project.scan()
    assert third["result"]["looks"] == 0


async def test_a_container_that_does_not_exist_is_a_warning(new_project: MakeProject) -> None:
    project = await new_project(create=False)
    await project.create(storageInputContainerName="quiet-not-there")
    job = await project.scan()
    assert job["status"] == "succeeded"
    assert [w["code"] for w in job["warnings"]] == ["ContainerNotFound"]


async def test_a_project_made_again_shares_nothing_with_the_deleted_one(new_project: MakeProject) -> None:
    project = await new_project()
    [document] = await project.suggested({"a.txt": "@Refund:73"}, "Refund")
    await project.review([accept(document)])

    deletion = await project.http.delete(project.path)
    assert deletion.status_code == 202
    assert (await project.ended(deletion.headers["operation-location"]))["status"] == "succeeded"
    assert (await project.http.get(f"{project.path}/documents")).status_code == 404
    assert (await project.http.get(project.path)).status_code == 404
    assert (await project.http.delete(project.path)).status_code == 404

    await project.create(projectKind="CustomMultiLabelClassification")
    documents = await project.registered(2)
    assert {d["status"] for d in documents} == {"unlabeled"}
    assert (await project.get("/autolabel/jobs"))["value"] == []
    assert (await project.get(f"/documents/{document['id']}/history"))["value"] == []
    stale = await project.http.put(
        f"{project.path}/documents/{document['id']}/labels",
        json={"classes": []},
        headers={"If-Match": document["eTag"]},
    )
    assert stale.status_code == 409


async def test_cancel_and_retry_of_a_job(new_project: MakeProject) -> None:
    project = await new_project()
    await project.upload({"bad.txt": "@fail"})
    await project.define("Refund")
    failed = await project.autolabel()
    assert failed["status"] == "failed"
    url = f"{project.path}/autolabel/jobs/{failed['jobId']}"
    assert (await project.http.post(f"{url}/:cancel")).status_code == 409

    await project.upload({"bad.txt": "@Refund:80"})
    await project.scan()
    retry = await project.http.post(f"{url}/:retry")

    assert retry.status_code == 202
    job = await project.ended(retry.headers["operation-location"])
    assert job["status"] == "succeeded"
    assert job["result"]["outcomes"]["suggested"] == 1
    jobs = (await project.get("/autolabel/jobs", top=1))["value"]
    assert [j["jobId"] for j in jobs] == [job["jobId"]]
    assert (
        await project.http.post(f"{project.path}/autolabel/jobs/{job['jobId']}/:retry")
    ).status_code == 409


@pytest.mark.parametrize("name", ["p'; drop", "a or 1 eq 1"])
async def test_names_are_values_and_never_part_of_a_query(sample: Project, name: str) -> None:
    answer = await sample.http.get(f"{PROJECTS}/{name}")
    assert answer.status_code == 404
    assert await sample.documents(category="x' or 'a' eq 'a") == []
