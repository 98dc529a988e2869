"""Reading project files with errors: every one is named, with its path, all of them together."""

from typing import Any

import pytest

from shared.domain.errors import InvalidArgument, InvalidRequest
from shared.domain.names import ProjectKind
from shared.wire.documents import read_labels
from shared.wire.project_file import read_project_file
from tests.unit.wire.project_files import (
    ENTITIES,
    LABEL_FIELDS,
    MULTI,
    SINGLE,
    document,
    encode,
    errors_of,
    file_of,
    region,
)

D = "assets.documents[0]"
L = f"{D}.entities[0].labels[0]"


@pytest.mark.parametrize(
    ("kind", "fields", "path", "words"),
    [
        (SINGLE, {"class": "A"}, f"{D}.class", "object with a 'category', not 'A'"),
        (SINGLE, {"class": [{"category": "A"}]}, f"{D}.class", "not a list"),
        (SINGLE, {"class": {}}, f"{D}.class.category", "not null"),
        (SINGLE, {"class": {"category": 5}}, f"{D}.class.category", "not 5"),
        (SINGLE, {"class": {"category": "a"}}, f"{D}.class.category", "'a' is not listed in assets.classes"),
        (SINGLE, {"classes": [{"category": "A"}]}, f"{D}.classes", "in 'class', not in 'classes'"),
        (MULTI, {"class": {"category": "A"}}, f"{D}.class", "in 'classes', not in 'class'"),
        (MULTI, {"classes": {"category": "A"}}, f"{D}.classes", "must be a list, not an object"),
        (MULTI, {"classes": [{"category": "A"}, {"category": "A"}]}, f"{D}.classes[1].category", "twice"),
        (MULTI, {"classes": [None]}, f"{D}.classes[0]", "not null"),
        (MULTI, {"classes": [{"category": None}]}, f"{D}.classes[0].category", "not null"),
        (ENTITIES, {"entities": {}}, f"{D}.entities", "must be a list of regions"),
        (ENTITIES, {"entities": [7]}, f"{D}.entities[0]", "must be an object, not 7"),
        (ENTITIES, {"entities": [region(offset=-1)]}, f"{D}.entities[0].regionOffset", "not -1"),
        (ENTITIES, {"entities": [region(length="9")]}, f"{D}.entities[0].regionLength", "not '9'"),
        (
            ENTITIES,
            {"entities": [region(length=256_001)]},
            f"{D}.entities[0].regionLength",
            "longest document",
        ),
        (
            SINGLE,
            {"class": {"category": "A"}, "classes": [{"category": "B"}]},
            f"{D}.classes",
            "in 'class', not in 'classes'",
        ),
        (
            MULTI,
            {"class": {"category": "A"}, "classes": [{"category": "B"}]},
            f"{D}.class",
            "in 'classes', not in 'class'",
        ),
        (
            ENTITIES,
            {"entities": [region(offset=200_000, length=100_000)]},
            f"{D}.entities[0].regionLength",
            "ends beyond the longest document",
        ),
        (ENTITIES, {"entities": [region() | {"labels": 1}]}, f"{D}.entities[0].labels", "must be a list"),
        (ENTITIES, {"entities": [region() | {"labels": {}}]}, f"{D}.entities[0].labels", "not an object"),
        (ENTITIES, {"entities": [region() | {"labels": ""}]}, f"{D}.entities[0].labels", "not ''"),
        (ENTITIES, {"entities": [region() | {"labels": [1]}]}, L, "must be an object"),
        (ENTITIES, {"entities": [region(("C", 0, 1))]}, f"{L}.category", "not listed in assets.entities"),
        (ENTITIES, {"entities": [region((["A"], 0, 1))]}, f"{L}.category", "not a list"),
        (ENTITIES, {"entities": [region(("A", True, 1))]}, f"{L}.offset", "not true"),
        (ENTITIES, {"entities": [region(("A", 1.0, 1))]}, f"{L}.offset", "integer of 0 or more, not 1.0"),
        (ENTITIES, {"entities": [region(("A", -1, 1))]}, f"{L}.offset", "not -1"),
        (ENTITIES, {"entities": [region(("A", 0, None))]}, f"{L}.length", "not null"),
        (ENTITIES, {"entities": [region(("A", 0, 0))]}, f"{L}.length", "1 to 500"),
        (ENTITIES, {"entities": [region(("A", 0, 501), length=900)]}, f"{L}.length", "1 to 500"),
        (ENTITIES, {"entities": [region(("A", 0, 10**60))]}, f"{L}.length", "longest document"),
        (
            ENTITIES,
            {"entities": [region(("A", 99, 2))]},
            f"{L}.offset",
            "99 to 101 is not inside its region, 0",
        ),
        (ENTITIES, {"entities": [region(("A", 4, 2), offset=5)]}, f"{L}.offset", "not inside its region, 5"),
        (
            ENTITIES,
            {"entities": [region(("A", 4, 2), ("A", 4, 2))]},
            f"{D}.entities[0].labels",
            "listed twice",
        ),
        (
            ENTITIES,
            {"entities": [region(("A", 4, 2)), region(("B", 4, 2), ("A", 4, 2), offset=4)]},
            f"{D}.entities[1].labels",
            "also listed in an earlier region",
        ),
    ],
)
def test_labels_with_errors(kind: str, fields: dict[str, Any], path: str, words: str) -> None:
    errors = errors_of(file_of(kind, [document(**fields)]))
    assert list(errors) == [path]
    assert words in errors[path]


@pytest.mark.parametrize(
    ("change", "path", "words"),
    [
        ({"location": None}, f"{D}.location", "not null"),
        ({"location": ""}, f"{D}.location", "1 to 1,024"),
        ({"location": "x" * 1_025}, f"{D}.location", "1 to 1,024"),
        ({"location": "\ud800.txt"}, f"{D}.location", "valid characters"),
        ({"location": "a\0b.txt"}, f"{D}.location", "valid characters"),
        ({"location": 3}, f"{D}.location", "not 3"),
        ({"language": "klingon"}, f"{D}.language", "klingon"),
        ({"language": 7}, f"{D}.language", "not 7"),
        ({"language": ["de"]}, f"{D}.language", "not a list"),
        ({"dataset": "train"}, f"{D}.dataset", "'Train' or 'Test', not 'train'"),
        ({"dataset": {}}, f"{D}.dataset", "not an object"),
    ],
)
def test_documents_with_errors(change: dict[str, Any], path: str, words: str) -> None:
    errors = errors_of(file_of(SINGLE, [document() | change]))
    assert list(errors) == [path]
    assert words in errors[path]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("projectKind", None, "not null"),
        ("projectKind", "CustomHealthcare", "'CustomHealthcare'"),
        ("storageInputContainerName", "No_Container", "container name"),
        ("storageInputContainerName", None, "must be a string"),
        ("projectName", "my project", "project name"),
        ("projectName", "global", "reserved"),
        ("multilingual", "true", "must be true or false, not 'true'"),
        ("multilingual", 1, "not 1"),
        ("language", "xx", "'xx'"),
        ("language", 1, "must be a string, not 1"),
        ("description", ["a"], "must be a string"),
        ("description", "d" * 4_001, "4,000"),
        ("description", "\udc00", "surrogate"),
        ("settings", [], "must be an object"),
    ],
)
def test_metadata_with_errors(field: str, value: Any, words: str) -> None:
    file = file_of(SINGLE, [{"location": "a.txt"}])
    file["metadata"][field] = value
    errors = errors_of(file)
    assert list(errors) == [f"metadata.{field}"]
    assert words in errors[f"metadata.{field}"]


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"confidenceThreshold": 1.01}, "confidenceThreshold"),
        ({"confidenceThreshold": True}, "confidenceThreshold"),
        ({"runGptPredictions": "no"}, "runGptPredictions"),
        ({"gptPredictiveLookahead": 1.5}, "gptPredictiveLookahead"),
        ({"autolabel": True}, "autolabel"),
        ({"autolabel": {"onUpload": 0}}, "autolabel.onUpload"),
        ({"autolabel": {"engine": "no engine"}}, "autolabel.engine"),
        ({"autolabel": {"modelLabel": "a b"}}, "autolabel.modelLabel"),
        ({"autolabel": {"categories": "A"}}, "autolabel.categories"),
        ({"autolabel": {"categories": ["A", 1]}}, "autolabel.categories[1]"),
    ],
)
def test_settings_with_errors(settings: dict[str, Any], path: str) -> None:
    file = file_of(SINGLE, [])
    file["metadata"]["settings"] = settings
    assert list(errors_of(file)) == [f"metadata.settings.{path}"]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"projectFileVersion": None}, "projectFileVersion"),
        ({"projectFileVersion": "2019-01-01"}, "projectFileVersion"),
        ({"projectFileVersion": ["2022-05-01"]}, "projectFileVersion"),
        ({"stringIndexType": "UnicodeCodePoint"}, "stringIndexType"),
        ({"stringIndexType": None}, "stringIndexType"),
        ({"metadata": None}, "metadata"),
        ({"assets": []}, "assets"),
    ],
)
def test_heads_with_errors(change: dict[str, Any], path: str) -> None:
    assert list(errors_of(file_of(SINGLE, []) | change)) == [path]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"documents": {}}, "assets.documents"),
        ({"documents": [5]}, "assets.documents[0]"),
        ({"documents": [[]]}, "assets.documents[0]"),
        ({"classes": {}}, "assets.classes"),
        ({"classes": ["A"]}, "assets.classes[0]"),
        ({"classes": [{"category": ""}]}, "assets.classes[0].category"),
        ({"classes": [{"category": "a\nb"}]}, "assets.classes[0].category"),
        ({"classes": [{"category": "n" * 51}]}, "assets.classes[0].category"),
        ({"classes": [{"category": "\ud800"}]}, "assets.classes[0].category"),
        ({"classes": [{"category": "A"}, {"category": "A"}]}, "assets.classes[1].category"),
        ({"classes": [{"category": "A", "description": 1}]}, "assets.classes[0].description"),
        ({"classes": [{"category": f"c{i}"} for i in range(201)]}, "assets.classes"),
        ({"projectKind": None}, "assets.projectKind"),
    ],
)
def test_assets_with_errors(change: dict[str, Any], path: str) -> None:
    file = file_of(SINGLE, [])
    file["assets"] |= change
    assert list(errors_of(file)) == [path]


def test_two_kinds_have_the_message_of_azure_and_no_other() -> None:
    file = file_of(MULTI, [document(classes=[{"category": "A"}])])
    file["metadata"]["projectKind"] = SINGLE
    with pytest.raises(InvalidArgument) as caught:
        read_project_file(encode(file))
    assert caught.value.message == (
        "The project kind in the exported project's metadata must match the assets' project kind."
    )
    assert (caught.value.code, caught.value.target) == ("InvalidArgument", "assets.projectKind")
    assert caught.value.details == ()


def test_a_repeated_location_names_the_first() -> None:
    errors = errors_of(file_of(SINGLE, [document("a"), document("b"), document("a"), document("a")]))
    assert list(errors) == ["assets.documents[2].location", "assets.documents[3].location"]
    assert all("documents[0]" in message for message in errors.values())


@pytest.mark.parametrize("kind", [SINGLE, MULTI, ENTITIES])
@pytest.mark.parametrize("documents_first", [False, True])
def test_all_errors_come_together(kind: str, documents_first: bool) -> None:
    file = file_of(kind, [document(dataset="X"), {}, document("c", **{LABEL_FIELDS[kind]: 1})])
    file["metadata"] |= {"language": "xx", "multilingual": "no"}
    file["stringIndexType"] = "?"
    if documents_first:
        file["assets"] = dict(reversed(file["assets"].items()))
    assert set(errors_of(file)) == {
        "metadata.language",
        "metadata.multilingual",
        "stringIndexType",
        "assets.documents[0].dataset",
        "assets.documents[1].location",
        f"assets.documents[2].{LABEL_FIELDS[kind]}",
    }


def test_a_summary_says_how_many() -> None:
    with pytest.raises(InvalidArgument, match="The project file has 2 errors"):
        read_project_file(encode(file_of(SINGLE, [{}, {}])))


def test_a_hundred_errors_are_shown_and_the_rest_counted() -> None:
    with pytest.raises(InvalidArgument) as caught:
        read_project_file(encode(file_of(SINGLE, [{}] * 1_234)))
    assert "1,234 errors" in caught.value.message
    assert len(caught.value.details) == 101
    assert caught.value.details[99].target == "assets.documents[99].location"
    assert caught.value.details[100].message == "... and 1,134 more errors."


def test_too_many_documents() -> None:
    documents = ",".join(f'{{"location":"{i}"}}' for i in range(100_001))
    body = encode(file_of(SINGLE, [])).replace(b'"documents": []', f'"documents": [{documents}]'.encode())
    assert errors_of(body) == {
        "assets.documents": "The file has 100,001 documents; a project has at most 100,000."
    }


def test_the_entities_of_all_regions_are_counted() -> None:
    def regions(*counts: int) -> list[dict[str, Any]]:
        return [
            {
                "regionOffset": 0,
                "regionLength": 200_000,
                "labels": [{"category": f"R{n}", "offset": k, "length": 1} for k in range(count)],
            }
            for n, count in enumerate(counts)
        ]

    labels = read_labels(ProjectKind(ENTITIES), regions(50_000, 50_000))
    assert labels is not None
    assert len([*labels.entities()]) == 100_000
    for counts in ((50_000, 50_001), (100_001,)):
        with pytest.raises(InvalidArgument, match="at most 100,000 entities, not 100,001"):
            read_labels(ProjectKind(ENTITIES), regions(*counts))


def test_hostile_values_that_json_tolerates_are_errors_with_their_place() -> None:
    body = encode(file_of(ENTITIES, [document("a"), document("b"), document("c")]))
    body = body.replace(b'"location": "b"', b'"location": "b", "location": "b", "x": NaN')
    body = body.replace(b'"projectName"', b'"description": "twice", "y": -Infinity, "projectName"')
    body = body[:-1] + b', "assets": 1}'
    with pytest.raises(InvalidArgument) as caught:
        read_project_file(body)
    found = {(error.target, str(error)) for error in caught.value.details}
    assert ("metadata", "-Infinity is not a JSON value.") in found
    assert ("metadata", "The key 'description' occurs more than once in an object.") in found
    assert ("assets.documents[1]", "NaN is not a JSON value.") in found
    assert ("assets.documents[1]", "The key 'location' occurs more than once in an object.") in found
    assert any("The key 'assets' occurs more than once" in message for _, message in found)


@pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b"", b"  ", b"7"])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="JSON object"):
        read_project_file(body)


def test_what_follows_the_object_is_no_part_of_it() -> None:
    body = encode(file_of(SINGLE, []))
    for tail in (b"}", b"{}", b",", b"x"):
        with pytest.raises(InvalidRequest, match="Extra data"):
            read_project_file(body + tail)


def test_every_answer_can_be_sent() -> None:
    """An error that quotes half of a surrogate pair must not break the answer that carries it."""
    errors = errors_of(file_of(SINGLE, [document("a.txt", **{"class": {"category": "\ud800"}})]))
    assert [message.encode() for message in errors.values()]
