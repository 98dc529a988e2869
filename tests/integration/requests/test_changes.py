"""Changes of one document: If-Match, and labels that have the wrong shape or do not fit the text."""

import pytest

from tests.integration.conftest import MakeProject
from tests.integration.requests.answers import A, error
from tests.support.api import Json, Project


@pytest.mark.parametrize(
    ("etag", "status", "code"),
    [
        (None, 428, "InvalidRequest"),
        ("", 428, "InvalidRequest"),
        ('W/"abc.0"', 400, "InvalidArgument"),
        ("abc.0", 400, "InvalidArgument"),
        ('"abc.0", "abc.1"', 400, "InvalidArgument"),
        ('"a"b"', 400, "InvalidArgument"),
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
        for etag in ('"stale.0"', '"stale"', '""', '"' + "x" * 5000 + '.0"'):
            answer = await sample.http.request(method, path, json=body, headers={"If-Match": etag})
            assert error(answer) == (409, "Conflict", "If-Match"), etag
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
        ({"class": {"category": " "}}, "class.category"),
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
        status, code, target = error(answer)
        assert (status, code) == (400, "InvalidArgument"), name
        assert (target or "").startswith("entities"), name

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
