"""What is wrong with a request is told with the right status and code, and names the field (LOCAL.md 10)."""

import json
from typing import Any

import httpx
import pytest

from shared.domain.document import document_id
from shared.wire.api import API_VERSIONS
from tests.integration.conftest import MakeProject
from tests.support.api import PROJECTS, Project, client, unique
from tests.support.hosts import Host

type Json = dict[str, Any]
A = document_id("a.txt")


def error(answer: httpx.Response) -> tuple[int, str, str | None]:
    """Status, code and target; the shape is Azure's."""
    body = answer.json()["error"]
    assert body["message"]
    return answer.status_code, body["code"], body.get("target")


@pytest.mark.parametrize("version", [None, "", "2020-01-01", "latest", "2023-04-01'", "x" * 500])
async def test_an_unknown_api_version_is_400_and_lists_the_known_ones(
    host: Host, version: str | None
) -> None:
    async with client(host.url, version=None) as http:
        answer = await http.get(PROJECTS, params={} if version is None else {"api-version": version})
    assert error(answer) == (400, "InvalidRequest", "api-version")
    assert all(known in answer.json()["error"]["message"] for known in API_VERSIONS)


@pytest.mark.parametrize("version", API_VERSIONS)
async def test_every_known_api_version_works(host: Host, version: str) -> None:
    async with client(host.url, version=version) as http:
        assert (await http.get(PROJECTS)).status_code == 200


@pytest.mark.parametrize(
    "name", ["no-such-project", "x" * 51, "a'b", "a%20b", "%22", "a%5Cb", "%E2%80%AEevil", "$index"]
)
async def test_unknown_and_impossible_projects_are_404(http: httpx.AsyncClient, name: str) -> None:
    for rest in ("", "/documents", f"/documents/{A}", "/autolabel/jobs"):
        assert error(await http.get(f"{PROJECTS}/{name}{rest}")) == (404, "ProjectNotFound", "projectName")


@pytest.mark.parametrize("rest", ["x" * 22, "..", "~", "a" * 5000, "%00", "%F0%9F%98%80", "a'b"])
async def test_unknown_and_impossible_documents_are_404(sample: Project, rest: str) -> None:
    answer = await sample.http.get(f"{sample.path}/documents/{rest}/text")
    assert answer.status_code in ({400} if rest == "%00" else {404})


@pytest.mark.parametrize("job", ["no-such-job", "x" * 101, "a'b", "%F0%9F%98%80"])
@pytest.mark.parametrize(
    "path", ["autolabel/jobs/{}", "autolabel/jobs/{}/documents", "documents/scan/jobs/{}"]
)
async def test_unknown_jobs_are_404(sample: Project, path: str, job: str) -> None:
    answer = await sample.http.get(f"{sample.path}/{path.format(job)}")
    assert error(answer) == (404, "OperationNotFound", "jobId")


@pytest.mark.parametrize(
    ("name", "change", "target"),
    [
        ("x" * 51, {}, "projectName"),
        ("a'b", {}, "projectName"),
        ("global", {}, "projectName"),
        ("GLOBAL", {}, "projectName"),
        ("fine", {"projectName": "other"}, "projectName"),
        ("fine", {"projectKind": "CustomConversation"}, "projectKind"),
        ("fine", {"projectKind": 5}, "projectKind"),
        ("fine", {"language": "klingon"}, "language"),
        ("fine", {"storageInputContainerName": "A_B"}, "storageInputContainerName"),
        ("fine", {"storageInputContainerName": "labelbridge"}, "storageInputContainerName"),
        ("fine", {"storageInputContainerName": "labelbridge-tombstones"}, "storageInputContainerName"),
        ("fine", {"storageInputContainerName": "$web"}, "storageInputContainerName"),
        ("fine", {"multilingual": "false"}, "multilingual"),
        ("fine", {"multilingual": 1}, "multilingual"),
        ("fine", {"description": "x" * 4001}, "description"),
        ("fine", {"settings": {"confidenceThreshold": 1.5}}, "settings.confidenceThreshold"),
        ("fine", {"settings": {"autolabel": {"engine": "no-such"}}}, "settings.autolabel.engine"),
        ("fine", {"settings": {"autolabel": {"onUplod": False}}}, "settings.autolabel.onUplod"),
        ("fine", {"settings": []}, "settings"),
    ],
)
async def test_a_bad_project_names_the_field(
    http: httpx.AsyncClient, name: str, change: Json, target: str
) -> None:
    name = unique("p") if name == "fine" else name
    body = {
        "projectKind": "CustomSingleLabelClassification",
        "storageInputContainerName": "quiet-none",
        "language": "en-us",
    }
    answer = await http.patch(f"{PROJECTS}/{name}", json=body | change)
    assert error(answer) == (400, "InvalidArgument", target)
    assert (await http.get(f"{PROJECTS}/{name}")).status_code == 404


@pytest.mark.parametrize("name", ["x" * 51, "a'b", "global"])
@pytest.mark.parametrize("operation", [":import", ":import-labels"])
async def test_an_import_under_an_impossible_name_says_the_rule(
    http: httpx.AsyncClient, name: str, operation: str
) -> None:
    answer = await http.post(f"{PROJECTS}/{name}/{operation}", json={})
    assert error(answer) == (400, "InvalidArgument", "projectName")


async def test_autolabel_settings_that_a_patch_does_not_name_stay(new_project: MakeProject) -> None:
    project = await new_project(create=False)
    await project.create(settings={"autolabel": {"onUpload": False, "categories": ["Refund"]}})
    for change in ({"modelLabel": "m"}, {"categories": None}):
        await project.http.patch(project.path, json={"settings": {"autolabel": change}})
    autolabel = (await project.get(""))["settings"]["autolabel"]
    assert (autolabel["onUpload"], autolabel["modelLabel"]) == (False, "m")
    assert autolabel["categories"] is None


async def test_a_new_project_without_its_fields_names_all_of_them(http: httpx.AsyncClient) -> None:
    answer = await http.patch(f"{PROJECTS}/{unique('p')}", json={})
    assert answer.status_code == 400
    targets = [detail["target"] for detail in answer.json()["error"]["details"]]
    assert targets == ["projectKind", "storageInputContainerName", "language"]


@pytest.mark.parametrize(
    ("change", "target"),
    [
        ({"projectKind": "CustomMultiLabelClassification"}, "projectKind"),
        ({"storageInputContainerName": "quiet-other"}, "storageInputContainerName"),
    ],
)
async def test_kind_and_container_of_a_project_stay(sample: Project, change: Json, target: str) -> None:
    answer = await sample.http.patch(sample.path, json=change)
    assert error(answer) == (400, "InvalidArgument", target)


async def test_the_kind_is_read_in_both_of_azures_spellings(new_project: MakeProject) -> None:
    project = await new_project(create=False)
    made = await project.create(projectKind="customEntityRecognition")
    assert made["projectKind"] == "CustomEntityRecognition"


MALFORMED = {
    "no JSON": b"{",
    "a list": b"[]",
    "a text": b'"x"',
    "null": b"null",
    "NaN": b'{"settings": {"confidenceThreshold": NaN}}',
    "Infinity": b'{"settings": {"confidenceThreshold": -Infinity}}',
    "the same key twice": b'{"description": "a", "description": "b"}',
    "two values": b"{} {}",
    "a comma too many": b'{"description": "a",}',
    "not UTF-8": b'{"description": "\xff"}',
    "deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep lists": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a long number": b'{"a": ' + b"9" * 10_000 + b"}",
    "a single quote": b"{'a': 1}",
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
async def test_malformed_json_is_400(sample: Project, body: bytes) -> None:
    for method, path in (
        ("PATCH", sample.path),
        ("POST", f"{sample.path}/documents/:review"),
        ("PUT", f"{sample.path}/documents/{A}/labels"),
    ):
        answer = await sample.http.request(method, path, content=body, headers={"If-Match": "*"})
        assert error(answer) == (400, "InvalidRequest", "body"), (method, answer.text)
        told = answer.json()["error"]
        assert told["innererror"]["code"] == "InvalidRequestBodyFormat"
        assert "file" not in told["message"]


async def test_half_a_surrogate_pair_is_no_text(sample: Project) -> None:
    body = rb'{"class": {"category": "\ud83d"}}'
    answer = await sample.http.put(
        f"{sample.path}/documents/{A}/labels", content=body, headers={"If-Match": "*"}
    )
    assert error(answer) == (400, "InvalidArgument", "class.category")
    answer = await sample.http.patch(sample.path, content=rb'{"description": "\ud83d"}')
    assert error(answer) == (400, "InvalidArgument", "description")


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/xml"]
)
async def test_another_content_type_is_415(sample: Project, kind: str) -> None:
    answer = await sample.http.patch(sample.path, content=b"{}", headers={"Content-Type": kind})
    assert error(answer) == (415, "UnsupportedMediaType", "Content-Type")


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/merge-patch+json",
        "APPLICATION/JSON",
    ],
)
async def test_json_under_any_of_its_names_is_read(sample: Project, kind: str) -> None:
    answer = await sample.http.patch(sample.path, content=b"{}", headers={"Content-Type": kind})
    assert answer.status_code == 200


async def test_a_body_over_the_limit_is_413(sample: Project) -> None:
    body = json.dumps({"description": "x" * 4_200_000}).encode()
    assert error(await sample.http.patch(sample.path, content=body)) == (413, "InvalidRequest", "body")


async def test_a_body_over_what_the_host_takes_is_413(sample: Project) -> None:
    answer = await sample.http.patch(sample.path, content=b"x" * (104_857_600 + 1))
    assert answer.status_code == 413


async def test_an_empty_body_stands_for_an_empty_object(sample: Project) -> None:
    assert (await sample.http.patch(sample.path, content=b"")).status_code == 200
    answer = await sample.http.post(f"{sample.path}/documents/:review", content=b"")
    assert error(answer) == (400, "InvalidArgument", "decisions")


# Lists


@pytest.mark.parametrize(
    ("query", "target"),
    [
        ({"top": "0"}, "top"),
        ({"top": "-1"}, "top"),
        ({"top": "1e9"}, "top"),
        ({"top": "1000000000"}, "top"),
        ({"top": "ten"}, "top"),
        ({"orderby": "random"}, "orderby"),
        ({"status": "done"}, "status"),
        ({"dataset": "Validation"}, "dataset"),
        ({"continuationToken": "AAAA"}, "continuationToken"),
        ({"continuationToken": "!"}, "continuationToken"),
        ({"continuationToken": "\u00e4"}, "continuationToken"),
        ({"continuationToken": "A" * 4001}, "continuationToken"),
    ],
)
async def test_a_bad_query_names_the_parameter(sample: Project, query: Json, target: str) -> None:
    answer = await sample.http.get(f"{sample.path}/documents", params=query)
    assert error(answer) == (400, "InvalidArgument", target)


async def test_a_token_works_only_for_the_query_and_project_it_was_given_for(
    sample: Project, new_project: MakeProject
) -> None:
    token = (await sample.get("/documents", top=1))["continuationToken"]
    assert len((await sample.get("/documents", top=1, continuationToken=token))["value"]) == 1
    other = await new_project()

    altered = ("A" if token[0] != "A" else "B") + token[1:]
    for path, query in (
        (sample.path, {"continuationToken": altered}),
        (sample.path, {"continuationToken": token[:-4]}),
        (sample.path, {"continuationToken": token + "AAAA"}),
        (sample.path, {"continuationToken": token, "orderby": "location"}),
        (sample.path, {"continuationToken": token, "status": "labeled"}),
        (other.path, {"continuationToken": token}),
    ):
        answer = await sample.http.get(f"{path}/documents", params=query)
        assert error(answer) == (400, "InvalidArgument", "continuationToken")
    for path in (f"{sample.path}/autolabel/jobs", f"{sample.path}/documents/{A}/history"):
        answer = await sample.http.get(path, params={"continuationToken": token})
        assert error(answer) == (400, "InvalidArgument", "continuationToken")


# If-Match


@pytest.mark.parametrize(
    ("etag", "status", "code"),
    [
        (None, 428, "InvalidRequest"),
        ("", 428, "InvalidRequest"),
        ('W/"abc.0"', 400, "InvalidArgument"),
        ("abc.0", 400, "InvalidArgument"),
        ('"abc"', 400, "InvalidArgument"),
        ('"abc.0", "abc.1"', 400, "InvalidArgument"),
        ('"' + "x" * 5000 + '.0"', 400, "InvalidArgument"),
    ],
)
async def test_if_match_missing_weak_or_malformed(
    sample: Project, etag: str | None, status: int, code: str
) -> None:
    headers = {} if etag is None else {"If-Match": etag}
    for method, path, body in (
        ("PUT", f"{sample.path}/documents/{A}/labels", {"class": {"category": "Refund"}}),
        ("PATCH", f"{sample.path}/documents/{A}", {"dataset": "Test"}),
    ):
        answer = await sample.http.request(method, path, json=body, headers=headers)
        assert error(answer) == (status, code, "If-Match")


async def test_a_stale_etag_is_409_with_the_current_document(sample: Project) -> None:
    current = await sample.document("a.txt")
    for method, path, body in (
        ("PUT", f"{sample.path}/documents/{A}/labels", {"class": {"category": "Refund"}}),
        ("PUT", f"{sample.path}/documents/{A}/labels", {"class": {"category": "Unknown yet"}}),
        ("PATCH", f"{sample.path}/documents/{A}", {"dataset": "Test"}),
        ("POST", f"{sample.path}/documents/{A}/:undo", {}),
    ):
        answer = await sample.http.request(method, path, json=body, headers={"If-Match": '"stale.0"'})
        assert error(answer)[:2] == (409, "Conflict")
        assert answer.json()["document"] == current


async def test_a_star_matches_whatever_is_there(new_project: MakeProject) -> None:
    project = await new_project()
    await project.upload({"a.txt": "text"})
    await project.scan()
    labeled = await project.put_labels("a.txt", {"class": {"category": "Refund"}}, "*")
    assert labeled["status"] == "labeled"
    cleared = await project.put_labels("a.txt", {"class": None}, "*")
    assert cleared["status"] == "unlabeled"
    assert "class" not in cleared
    nothing = await project.put_labels("a.txt", {"class": {"category": None}}, "*")
    assert (nothing["status"], nothing["class"]) == ("labeled", {"category": None})


# Labels


@pytest.mark.parametrize(
    ("body", "target"),
    [
        ({}, "class"),
        ({"classes": []}, "classes"),
        ({"entities": []}, "entities"),
        ({"class": {"category": "A"}, "dataset": "Test"}, "dataset"),
        ({"class": "A"}, "class"),
        ({"class": []}, "class"),
        ({"class": {}}, "class.category"),
        ({"class": {"category": ""}}, "class.category"),
        ({"class": {"category": 5}}, "class.category"),
        ({"class": {"category": "x" * 51}}, "class.category"),
        ({"class": {"category": "a\nb"}}, "class.category"),
        ({"class": {"category": " a"}}, "class.category"),
    ],
)
async def test_labels_of_the_wrong_kind_or_shape_name_the_field(
    sample: Project, body: Json, target: str
) -> None:
    before = await sample.document("a.txt")
    answer = await sample.http.put(
        f"{sample.path}/documents/{A}/labels", json=body, headers={"If-Match": "*"}
    )
    assert error(answer) == (400, "InvalidArgument", target)
    assert await sample.document("a.txt") == before


def region(*labels: tuple[str, int, int], offset: int = 0, length: int = 8) -> Json:
    items = [{"category": c, "offset": o, "length": n} for c, o, n in labels]
    return {"entities": [{"regionOffset": offset, "regionLength": length, "labels": items}]}


async def test_spans_must_fit_the_text_in_utf16_units(new_project: MakeProject) -> None:
    """The text is `a`, an astral letter, `bc`: 5 units, of which 1 and 2 are one letter."""
    project = await new_project("CustomEntityRecognition")
    await project.upload({"a.txt": "a\U0001f600bc"})
    await project.scan()
    url = f"{project.path}/documents/{A}/labels"

    for name, body in {
        "past the end": region(("X", 4, 2)),
        "inside a pair": region(("X", 2, 1)),
        "ends inside a pair": region(("X", 0, 2)),
        "negative": region(("X", -1, 2)),
        "empty": region(("X", 1, 0)),
        "outside its region": region(("X", 3, 2), offset=0, length=4),
        "region past the end": region(("X", 3, 2), offset=0, length=900_000),
    }.items():
        answer = await project.http.put(url, json=body, headers={"If-Match": "*"})
        assert error(answer)[:2] == (400, "InvalidArgument"), name
        assert error(answer)[2].startswith("entities"), name  # type: ignore[union-attr]

    saved = await project.put_labels("a.txt", region(("X", 1, 2), ("X", 3, 2), length=5))
    assert saved["entities"] == region(("X", 1, 2), ("X", 3, 2), length=5)["entities"]
    assert saved["length"] == 5


@pytest.mark.parametrize("category", ["a:$&%*()+~#/?b", "Größe", "日本", "x" * 50, "\U0001f600", "<script>"])
async def test_any_other_category_name_is_defined_by_use(new_project: MakeProject, category: str) -> None:
    project = await new_project()
    await project.upload({"a.txt": "text"})
    await project.scan()
    assert (await project.put_labels("a.txt", {"class": {"category": category}}))["class"] == {
        "category": category
    }
    [found] = await project.documents(category=category)
    assert found["location"] == "a.txt"


# Review and jobs


@pytest.mark.parametrize(
    ("decisions", "target"),
    [
        ([], "decisions"),
        ([{"documentId": A, "eTag": '"a.b"', "acceptAll": True}] * 10_000, "decisions"),
        ([{"documentId": A, "eTag": '"a.b"'}] * 2, "decisions[1].documentId"),
        ([{"eTag": '"a.b"'}], "decisions[0].documentId"),
        ([{"documentId": A}], "decisions[0].eTag"),
        ([{"documentId": A, "eTag": "weak"}], "decisions[0].eTag"),
        ([{"documentId": A, "eTag": '"a.b"', "acceptall": True}], "decisions[0].acceptall"),
        ([{"documentId": A, "eTag": '"a.b"', "accept": "all"}], "decisions[0].accept"),
        ("all", "decisions"),
    ],
)
async def test_a_bad_save_names_the_decision(sample: Project, decisions: Any, target: str) -> None:
    answer = await sample.http.post(f"{sample.path}/documents/:review", json={"decisions": decisions})
    assert error(answer) == (400, "InvalidArgument", target)


@pytest.mark.parametrize(
    ("body", "target"),
    [
        ({"engine": "no-such"}, "engine"),
        ({"categories": ["Refund", "Unknown"]}, "categories[1]"),
        ({"documents": ["not-an-id"]}, "documents[0]"),
        ({"documents": "all"}, "documents"),
        ({"dokuments": []}, "dokuments"),
        ({"modelLabel": "a b"}, "modelLabel"),
    ],
)
async def test_a_bad_autolabel_job_is_refused_at_once(sample: Project, body: Json, target: str) -> None:
    answer = await sample.http.post(f"{sample.path}/autolabel/jobs", json=body)
    assert error(answer) == (400, "InvalidArgument", target)


@pytest.mark.parametrize(
    ("body", "target"),
    [
        ({}, "body"),
        ({"dataset": "train"}, "dataset"),
        ({"language": "xx"}, "language"),
        ({"contentChanged": True}, "contentChanged"),
        ({"labels": []}, "labels"),
    ],
)
async def test_a_bad_patch_of_a_document_names_the_field(sample: Project, body: Json, target: str) -> None:
    answer = await sample.http.patch(f"{sample.path}/documents/{A}", json=body, headers={"If-Match": "*"})
    assert error(answer) == (400, "InvalidArgument", target)


# What is not there


@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("PUT", "/deployments/production"),
        ("GET", "/exported-models"),
        ("POST", "/:copy"),
        ("POST", "/:authorize-copy"),
        ("GET", "/resources"),
    ],
)
async def test_what_azure_has_and_we_have_not_is_501_and_says_what_to_use(
    sample: Project, method: str, rest: str
) -> None:
    answer = await sample.http.request(method, f"{sample.path}{rest}")
    assert answer.status_code == 501
    assert answer.json()["error"]["innererror"]["code"] == "NotOffered"


async def test_unknown_addresses_are_404(sample: Project) -> None:
    for method, path in (
        ("GET", f"{sample.path}/nothing"),
        ("DELETE", f"{sample.path}/documents"),
        ("GET", "/language/nothing"),
        ("POST", f"{sample.path}/documents/{A}"),
    ):
        assert error(await sample.http.request(method, path))[:2] == (404, "NotFound"), path
