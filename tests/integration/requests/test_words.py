"""The error of a refused request: the field and the rule, in our words; a type is never guessed from another."""

from typing import Any

import pytest

from shared.domain.document import document_id
from tests.integration.conftest import MakeProject
from tests.integration.kinds.files import project_file
from tests.integration.requests.answers import A, error
from tests.support.api import ENTITIES, Json, Project

ONE = {"documentId": A, "eTag": '"a.b"'}
HALF = "\\ud800"


@pytest.mark.parametrize(
    ("decisions", "target", "message"),
    [
        ("all", "decisions", "'decisions' must be a list."),
        ([], "decisions", "'decisions' must have 1 or more items, not 0."),
        ([ONE] * 101, "decisions", "'decisions' must have at most 100 items, not 101."),
        ([5], "decisions[0]", "'decisions[0]' must be an object."),
        ([{"eTag": "x"}], "decisions[0].documentId", "'decisions[0].documentId' is required."),
        ([ONE | {"x": 1}], "decisions[0].x", "'decisions[0].x' is not a field of this request."),
        ([ONE | {"eTag": 5}], "decisions[0].eTag", "'decisions[0].eTag' must be a string."),
        ([ONE | {"accept": "a"}], "decisions[0].accept", "'decisions[0].accept' must be a list."),
        *(
            (
                [ONE | {"acceptAll": value}],
                "decisions[0].acceptAll",
                "'decisions[0].acceptAll' must be true or false.",
            )
            for value in ("yes", 1, "true")
        ),
    ],
)
async def test_a_bad_save_gets_the_rule(sample: Project, decisions: Any, target: str, message: str) -> None:
    answer = await sample.http.post(f"{sample.path}/documents/:review", json={"decisions": decisions})
    assert error(answer) == (400, "InvalidArgument", target)
    assert answer.json()["error"]["message"] == message


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("minConfidence", "0.5", "must be a number"),
        ("minConfidence", True, "must be a number"),
        ("maxConfidence", 1.5, "must be 1 or less"),
        ("maxConfidence", -1, "must be 0 or more"),
        ("dryRun", "yes", "must be true or false"),
        ("dryRun", 0, "must be true or false"),
        ("decision", "maybe", "must be 'accept' or 'reject'"),
        ("jobId", "x" * 101, "must have at most 100 characters"),
        ("jobId", 7, "must be a string"),
    ],
)
async def test_a_bad_bulk_decision_gets_the_rule(sample: Project, field: str, value: Any, rule: str) -> None:
    body = {"decision": "accept", "dryRun": True} | {field: value}
    answer = await sample.http.post(f"{sample.path}/documents/:review-all", json=body)
    assert error(answer) == (400, "InvalidArgument", field)
    assert answer.json()["error"]["message"] == f"'{field}' {rule}."


async def test_a_whole_number_is_a_number(sample: Project) -> None:
    body = {"decision": "accept", "minConfidence": 1, "dryRun": True}
    assert (await sample.http.post(f"{sample.path}/documents/:review-all", json=body)).status_code == 202


@pytest.mark.parametrize("value", [0, "false", True, "no"])
async def test_only_false_confirms_changed_content(sample: Project, value: Any) -> None:
    url = f"{sample.path}/documents/{A}"
    answer = await sample.http.patch(url, json={"contentChanged": value}, headers={"If-Match": "*"})
    assert error(answer) == (400, "InvalidArgument", "contentChanged")
    assert "false" in answer.json()["error"]["message"]


async def test_queries_are_text_and_read_as_what_they_say(sample: Project) -> None:
    assert len((await sample.get("/documents", top="1"))["value"]) == 1
    answer = await sample.http.get(f"{sample.path}/documents", params={"top": "ten"})
    assert answer.json()["error"]["message"] == "'top' must be an integer."


@pytest.mark.parametrize(
    ("method", "path", "body", "target"),
    [
        ("PATCH", f"/documents/{A}", f'{{"language": "{HALF}"}}', "language"),
        ("PATCH", f"/documents/{A}", f'{{"{HALF}": 1}}', "body"),
        ("PATCH", "", f'{{"description": "{HALF}"}}', "description"),
        (
            "PATCH",
            "",
            f'{{"settings": {{"autolabel": {{"categories": ["{HALF}"]}}}}}}',
            "settings.autolabel.categories[0]",
        ),
        ("PUT", f"/documents/{A}/labels", f'{{"class": {{"category": "{HALF}"}}}}', "class.category"),
        ("PUT", "/categories", f'{{"value": [{{"category": "{HALF}"}}]}}', "value[0].category"),
        (
            "POST",
            "/documents/:review-all",
            f'{{"decision": "accept", "locationPrefix": "{HALF}"}}',
            "locationPrefix",
        ),
        ("POST", "/documents/:review-all", f'{{"decision": "{HALF}"}}', "decision"),
        ("POST", "/autolabel/jobs", f'{{"documents": ["{HALF}"]}}', "documents[0]"),
        (
            "POST",
            "/documents/:review",
            f'{{"decisions": [{{"documentId": "{HALF}", "eTag": "*", "acceptAll": true}}]}}',
            "decisions[0].documentId",
        ),
    ],
)
async def test_half_a_surrogate_pair_anywhere_is_400(
    sample: Project, method: str, path: str, body: str, target: str
) -> None:
    answer = await sample.http.request(method, sample.path + path, content=body, headers={"If-Match": "*"})
    assert error(answer) == (400, "InvalidArgument", target)


@pytest.mark.parametrize(
    "query", ["locationPrefix=%ED%A0%80", "category=%ED%A0%80", "jobId=%FF", "status=%ED%A0%80"]
)
async def test_half_a_surrogate_pair_in_an_address_is_no_defect(sample: Project, query: str) -> None:
    answer = await sample.http.get(f"{sample.path}/documents?api-version=2023-04-15-preview&{query}")
    assert answer.status_code in {200, 400}
    answer = await sample.http.get(f"{sample.path}/documents/%ED%A0%80?api-version=2023-04-15-preview")
    assert answer.status_code == 404


async def test_a_whole_pair_is_text(sample: Project) -> None:
    answer = await sample.http.patch(sample.path, content=b'{"description": "\\ud83d\\ude00"}')
    assert answer.json()["description"] == "\U0001f600"


async def test_every_span_that_does_not_fit_is_reported(new_project: MakeProject) -> None:
    project = await new_project("CustomEntityRecognition")
    await project.upload({"a.txt": "a\U0001f600bc"})
    await project.scan()
    labels = [{"category": "X", "offset": offset, "length": 1} for offset in (0, 2, 5)]
    body: Json = {"entities": [{"regionOffset": 0, "regionLength": 6, "labels": labels}]}
    answer = await project.http.put(
        f"{project.path}/documents/{A}/labels", json=body, headers={"If-Match": "*"}
    )
    assert error(answer) == (400, "InvalidArgument", "entities[0]")
    reported = {detail["target"]: detail["message"] for detail in answer.json()["error"]["details"]}
    assert list(reported) == ["entities[0]", "entities[0].labels[1]", "entities[0].labels[2]"]
    assert reported["entities[0].labels[1]"].endswith("splits a surrogate pair.")
    assert reported["entities[0].labels[2]"].endswith("ends beyond the text, which has 5.")


async def test_a_label_inside_a_combining_sequence_is_refused_by_hand_and_flagged_in_a_project_file(
    new_project: MakeProject,
) -> None:
    """Accents, the parts of an emoji, flags: by the same rule for labels from everywhere (decision 35)."""
    project = await new_project(ENTITIES)
    text = "Ande\u0301 \U0001f44d\U0001f3fd \U0001f1e9\U0001f1ea"  # 6 + 4 + 1 + 4 units
    await project.upload({"a.txt": text})
    await project.scan()
    labels = [
        {"category": "X", "offset": o, "length": n} for o, n in ((0, 4), (6, 2), (11, 2), (0, 5), (6, 4))
    ]
    field = [{"regionOffset": 0, "regionLength": 15, "labels": labels}]
    answer = await project.http.put(
        f"{project.path}/documents/{A}/labels", json={"entities": field}, headers={"If-Match": "*"}
    )
    assert error(answer) == (400, "InvalidArgument", "entities[0].labels[0]")
    reported = {detail["target"]: detail["message"] for detail in answer.json()["error"]["details"]}
    assert list(reported) == [f"entities[0].labels[{n}]" for n in range(3)]
    assert all("ends inside a character" in message for message in reported.values())

    file = project_file(ENTITIES, project.container, 1)
    document = {"location": "a.txt", "language": "de", "dataset": "Train", "entities": field}
    file["assets"] |= {"entities": [{"category": "X"}], "documents": [document]}
    answer = await project.http.post(f"{project.path}/:import", json=file)
    assert (await project.ended(answer.headers["operation-location"]))["status"] == "succeeded"
    await project.scan()
    [document] = await project.documents()
    assert document["entities"] == field, "labels that are stored stay readable"
    assert [problem.split(" (")[0] for problem in document["labelProblems"]] == [
        f"The entity 'X' at {offset}" for offset in (0, 6, 11)
    ]


async def test_what_cannot_be_done_with_a_document_names_it(new_project: MakeProject) -> None:
    project = await new_project()
    await project.upload({"a.txt": "text", "b.pdf": "x"})
    await project.scan()
    rejected = f"{project.path}/documents/{document_id('b.pdf')}/labels"
    for answer in (
        await project.http.post(f"{project.path}/documents/{A}/:undo"),
        await project.http.put(rejected, json={"class": {"category": "X"}}, headers={"If-Match": "*"}),
        await project.http.get(f"{project.path}/documents/{document_id('b.pdf')}/text"),
    ):
        assert error(answer) == (409, "Conflict", "documentId")
