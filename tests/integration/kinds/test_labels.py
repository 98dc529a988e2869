"""Labels by hand in the three kinds, and what becomes of them when the content changes (rules D2, D3, D6, D7)."""

import pytest

from shared.domain.document import document_id
from tests.integration.conftest import MakeProject
from tests.integration.kinds.helpers import FIELDS, KINDS, NOTHING, categories_of, history, run, train
from tests.support.api import ENTITIES, MULTI, SINGLE, label

pytestmark = pytest.mark.parametrize("kind", KINDS)


async def test_a_label_by_hand_defines_its_category_and_is_in_the_history(
    new_project: MakeProject, kind: str
):
    project = await new_project(kind)
    await project.upload({"a.txt": "Some text."})
    await project.scan()
    assert FIELDS[kind] not in await project.document("a.txt")

    after = await project.put_labels("a.txt", label(kind, "Refund"))

    assert after["status"] == "labeled"
    assert categories_of(after, kind) == ["Refund"]
    assert (await project.get("/categories"))["value"] == [{"category": "Refund"}]
    [entry] = await history(project, "a.txt")
    assert (entry["action"], entry["by"]) == ("labelsSet", "labelbridge-local")
    assert entry["details"]["before"] is None
    assert "Refund" in str(entry["details"]["after"])


async def test_labeled_with_nothing_and_unlabeled_are_two_states(new_project: MakeProject, kind: str):
    project = await new_project(kind)
    await project.upload({"a.txt": "Some text.", "b.txt": "Other text."})
    await project.scan()

    nothing = await project.put_labels("a.txt", {FIELDS[kind]: NOTHING[kind]})
    assert nothing["status"] == "labeled"
    assert categories_of(nothing, kind) == []
    assert [d["location"] for d in await project.documents(status="unlabeled")] == ["b.txt"]

    removed = await project.put_labels("a.txt", {FIELDS[kind]: None})
    assert removed["status"] == "unlabeled"
    assert FIELDS[kind] not in removed


async def test_the_label_field_of_another_kind_is_refused_by_its_name(new_project: MakeProject, kind: str):
    project = await new_project(kind)
    await project.upload({"a.txt": "Some text."})
    await project.scan()
    other = MULTI if kind != MULTI else SINGLE
    url = f"{project.path}/documents/{document_id('a.txt')}/labels"

    answer = await project.http.put(url, json=label(other, "Refund"), headers={"If-Match": "*"})

    assert answer.status_code == 400
    assert answer.json()["error"]["target"] == FIELDS[other]
    assert FIELDS[kind] in answer.json()["error"]["message"]
    assert (await project.document("a.txt"))["status"] == "unlabeled"


async def test_changed_content_keeps_the_labels_and_flags_them_until_confirmed(
    new_project: MakeProject, kind: str
):
    project = await new_project(kind)
    await project.suggested({"a.txt": "@Refund:73 please"}, "Refund", "Login")
    await project.upload({"~Login.txt": "This one is Login, said anew.", "a.txt": "@Login:55 instead"})
    await project.scan()

    labeled, pending = await project.document("~Login.txt"), await project.document("a.txt")
    assert labeled["contentChanged"] is True
    assert categories_of(labeled, kind) == ["Login"]
    assert pending["suggestions"] == []  # they were about the old content
    assert pending["contentChanged"] is False

    await project.autolabel()
    again = await project.document("a.txt")
    assert [s["category"] for s in again["suggestions"]] == ["Login"]

    url = f"{project.path}/documents/{labeled['id']}"
    answer = await project.http.patch(
        url, json={"contentChanged": False}, headers={"If-Match": labeled["eTag"]}
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["contentChanged"] is False
    assert categories_of(answer.json(), kind) == ["Login"]
    actions = [entry["action"] for entry in await history(project, "~Login.txt")]
    assert actions == ["documentChanged", "contentChanged", "labelsSet"]


async def test_a_labeled_document_without_its_blob_stays_out_of_training(new_project: MakeProject, kind: str):
    project = await new_project(kind)
    await project.define("Refund", "Login")
    await project.upload({"gone.txt": "This one is Refund too."})
    await project.scan()
    await project.put_labels("gone.txt", label(kind, "Refund"))
    await project.blobs.delete(project.container, "gone.txt")
    await project.scan()

    [gone] = [d for d in await project.documents() if d["location"] == "gone.txt"]
    assert (gone["missing"], "Refund" in str(gone)) == (True, True)
    entries = await history(project, "gone.txt")
    assert [entry["action"] for entry in entries] == ["labelsSet"]

    tested = f"{project.path}/documents/{document_id('~Login.txt')}"
    await project.http.patch(tested, json={"dataset": "Test"}, headers={"If-Match": "*"})
    everything = {"kind": "manual"}
    assert (await train(project, evaluationOptions=everything))["status"] == "succeeded"
    summary = await project.get("/models/m1/evaluation/summary-result")
    counts = summary["evaluationOptions"]
    assert counts["kind"] == "manual"


async def test_a_project_has_at_most_200_categories(new_project: MakeProject, kind: str):
    project = await new_project(kind)
    await project.upload({"a.txt": "Some text."})
    await project.scan()
    many = {"value": [{"category": f"C{number}"} for number in range(200)]}
    assert (await project.http.put(f"{project.path}/categories", json=many)).status_code == 200

    url = f"{project.path}/documents/{document_id('a.txt')}/labels"
    answer = await project.http.put(url, json=label(kind, "One more"), headers={"If-Match": "*"})

    assert answer.status_code == 400
    assert "200" in answer.json()["error"]["message"]
    assert (await project.document("a.txt"))["status"] == "unlabeled"
    assert len((await project.get("/categories"))["value"]) == 200
    assert (await project.put_labels("a.txt", label(kind, "C7")))["status"] == "labeled"


async def test_an_engine_defines_no_category(new_project: MakeProject, kind: str):
    project = await new_project(kind)
    [document] = await project.suggested({"a.txt": "@Invented:99 and @Refund:20"}, "Refund")

    assert [s["category"] for s in document["suggestions"]] == ["Refund"]
    assert [c["category"] for c in (await project.get("/categories"))["value"]] == ["Refund"]


async def test_dataset_and_language_are_set_and_listed(new_project: MakeProject, kind: str):
    project = await new_project(kind)
    await project.upload({"a.txt": "Ein Text.", "b.txt": "Some text."})
    await project.scan()
    read = await project.document("a.txt")

    answer = await project.http.patch(
        f"{project.path}/documents/{read['id']}",
        json={"dataset": "Test", "language": "de"},
        headers={"If-Match": read["eTag"]},
    )

    assert (answer.json()["dataset"], answer.json()["language"]) == ("Test", "de")
    assert [d["location"] for d in await project.documents(dataset="Test")] == ["a.txt"]
    assert (await project.get("/statistics"))["datasets"] == {"Train": 1, "Test": 1}


async def test_spans_must_fit_the_text_that_is_there(new_project: MakeProject, kind: str):
    if kind != ENTITIES:
        return  # classes have no place in the text
    project = await new_project(kind)
    await project.upload({"a.txt": "Wer 😀 ist da?"})
    await project.scan()
    url = f"{project.path}/documents/{document_id('a.txt')}/labels"
    inside_pair = {"category": "Emoji", "offset": 5, "length": 2}
    beyond = {"category": "Emoji", "offset": 13, "length": 4}
    for entity in (inside_pair, beyond):
        body = {"entities": [{"regionOffset": 0, "regionLength": 20, "labels": [entity]}]}
        answer = await project.http.put(url, json=body, headers={"If-Match": "*"})
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["target"].startswith("entities")
    assert (await project.document("a.txt"))["status"] == "unlabeled"
    good = {"entities": [{"regionOffset": 0, "regionLength": 14, "labels": [{**inside_pair, "offset": 4}]}]}
    assert categories_of(await project.put_labels("a.txt", good), kind) == ["Emoji"]
    await run(project, "/documents/:scan")
