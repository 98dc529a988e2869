"""Reading valid project files: what they say arrives in the domain, nothing more and nothing less."""

import json
from typing import Any

import pytest

from shared.domain.labels import EntityLabel, Labels, Region
from shared.domain.names import Dataset, ProjectKind
from shared.domain.project import AutolabelSettings, Category, ProjectSettings
from shared.wire.project_file import read_project_file
from tests.unit.wire.project_files import ENTITIES, MULTI, SINGLE, document, encode, file_of, region


def labels_of(kind: str, **fields: Any) -> Labels | None:
    return read_project_file(encode(file_of(kind, [document(**fields)]))).documents[0].labels


def test_the_metadata_arrive() -> None:
    file = file_of(SINGLE, [])
    file["metadata"] |= {"description": "Verträge 😀", "multilingual": True, "language": "de"}
    file["metadata"]["settings"] = {
        "confidenceThreshold": 0.7,
        "runGptPredictions": True,
        "gptPredictiveLookahead": 5,
        "amlProjectPath": "read only",
        "isLabelingLocked": True,
        "autolabel": {"onUpload": False, "engine": "azure-openai", "modelLabel": "m1", "categories": ["A"]},
    }
    details = read_project_file(encode(file)).details
    assert (details.name, details.container, details.language) == ("contracts", "documents", "de")
    assert (details.kind, details.multilingual) == (ProjectKind.SINGLE_LABEL, True)
    assert details.description == "Verträge 😀"
    autolabel = AutolabelSettings(on_upload=False, engine="azure-openai", model_label="m1", categories=("A",))
    assert details.settings == ProjectSettings(0.7, autolabel, True, 5)


def test_absent_and_null_metadata_have_their_defaults() -> None:
    file = file_of(MULTI, [])
    file["metadata"] |= {"description": None, "multilingual": None, "settings": None}
    details = read_project_file(encode(file)).details
    assert (details.description, details.multilingual, details.settings) == ("", False, ProjectSettings())


@pytest.mark.parametrize(
    ("kind", "fields", "labels"),
    [
        (SINGLE, {"class": {"category": "B"}}, Labels(("B",))),
        (SINGLE, {"class": {"category": None}}, Labels()),
        (SINGLE, {"class": None}, None),
        (SINGLE, {}, None),
        (MULTI, {"classes": [{"category": "B"}, {"category": "A"}]}, Labels(("B", "A"))),
        (MULTI, {"classes": []}, Labels()),
        (MULTI, {}, None),
        (ENTITIES, {"entities": []}, Labels()),
        (ENTITIES, {"entities": [region()]}, Labels(regions=(Region(0, 100),))),
        (ENTITIES, {"entities": [{"regionOffset": 0, "regionLength": 0}]}, Labels(regions=(Region(0, 0),))),
        (ENTITIES, {}, None),
        (
            ENTITIES,
            {"entities": [region(("A", 5, 3)), region(("B", 200, 500), offset=200, length=500)]},
            Labels(
                regions=(
                    Region(0, 100, (EntityLabel("A", 5, 3),)),
                    Region(200, 500, (EntityLabel("B", 200, 500),)),
                )
            ),
        ),
    ],
)
def test_labeled_with_nothing_and_unlabeled_are_two_states(
    kind: str, fields: dict[str, Any], labels: Labels | None
) -> None:
    assert labels_of(kind, **fields) == labels


def test_a_document_without_language_and_dataset_has_those_of_the_project() -> None:
    file = file_of(SINGLE, [{"location": "a.txt"}, document("b.txt", language="de", dataset="Test")])
    first, second = read_project_file(encode(file)).documents
    assert (first.location, first.language, first.dataset) == ("a.txt", "en-us", Dataset.TRAIN)
    assert (second.location, second.language, second.dataset) == ("b.txt", "de", Dataset.TEST)


def test_kinds_are_compared_without_case() -> None:
    file = file_of(MULTI, [document(classes=[{"category": "A"}])])
    file["assets"]["projectKind"] = "customMultiLabelClassification"
    file["stringIndexType"] = "utf16CodeUnit"
    assert read_project_file(encode(file)).details.kind is ProjectKind.MULTI_LABEL


def test_locations_differ_by_case_and_lie_in_folders() -> None:
    file = file_of(SINGLE, [document("a.txt"), document("A.txt"), document("x/ü 😀/a.txt")])
    assert [d.location for d in read_project_file(encode(file)).documents] == [
        "a.txt",
        "A.txt",
        "x/ü 😀/a.txt",
    ]


def test_unknown_fields_are_tolerated_everywhere() -> None:
    file = file_of(ENTITIES, [document(entities=[region(("A", 0, 1)) | {"x": 1}], extra={"y": [1]})])
    file["assets"]["entities"][0] |= {"prebuilts": []}
    file |= {"z": {"deep": [{}]}}
    file["assets"]["z"] = None
    file["metadata"]["z"] = 1
    assert len(read_project_file(encode(file)).documents) == 1


def test_categories_keep_their_order_and_descriptions() -> None:
    file = file_of(ENTITIES, [], ("Z", "A"))
    file["assets"]["entities"][1]["description"] = "A party"
    assert read_project_file(encode(file)).categories == (Category("Z"), Category("A", "A party"))


def test_names_that_azure_refuses_are_warnings() -> None:
    read = read_project_file(encode(file_of(SINGLE, [], ("fine", "a/b?"))))
    assert [(w.code, w.target) for w in read.warnings] == [("Warning", "assets.classes[1].category")]
    assert "/?" in read.warnings[0].message


@pytest.mark.parametrize("order", ["documents first", "metadata last", "no categories"])
def test_the_order_of_the_keys_does_not_matter(order: str) -> None:
    file = file_of(MULTI, [document(classes=[{"category": "A"}]), {"location": "b.txt"}])
    plain = read_project_file(encode(file))
    if order == "no categories":
        file["assets"] = {"documents": [document(classes=[])], "projectKind": MULTI}
        assert [d.labels for d in read_project_file(encode(file)).documents] == [Labels()]
        return
    if order == "documents first":
        assets = file["assets"]
        file["assets"] = {
            "documents": assets["documents"],
            "classes": assets["classes"],
            "projectKind": MULTI,
        }
    turned = dict(reversed(file.items()))
    assert read_project_file(encode(turned)) == plain


def test_a_file_without_assets_is_an_empty_project() -> None:
    file = file_of(MULTI, [])
    for assets in (None, {"projectKind": MULTI}):
        read = read_project_file(encode(file | {"assets": assets}))
        assert (list(read.documents), read.categories) == ([], ())


def test_whitespace_and_a_byte_order_mark_are_fine() -> None:
    file = file_of(SINGLE, [document()])
    body = b"\xef\xbb\xbf \r\n" + json.dumps(file, indent="\t").encode() + b"\n "
    assert len(read_project_file(body).documents) == 1


def test_escapes_and_characters_are_the_same_text() -> None:
    file = file_of(SINGLE, [document("ü😀.txt", **{"class": {"category": "ß😀"}})], ("ß😀",))
    plain = json.dumps(file, ensure_ascii=False).encode()
    assert read_project_file(plain) == read_project_file(encode(file))


def test_limits_are_inclusive() -> None:
    name = "n" * 50
    categories = (*(f"c{i}" for i in range(199)), name)
    entities = [region((name, 0, 1), (name, 1, 500), length=256_000)]
    read = read_project_file(
        encode(file_of(ENTITIES, [document("d" * 1_024, entities=entities)], categories))
    )
    assert len(read.categories) == 200


def test_a_hundred_thousand_documents_pass() -> None:
    documents = [{"location": f"{i}.txt"} for i in range(100_000)]
    file = file_of(SINGLE, documents)
    assert len(read_project_file(encode(file)).documents) == 100_000


def test_fields_that_autolabel_does_not_have_are_warned_of() -> None:
    file = file_of(SINGLE, [])
    file["metadata"]["settings"] = {"autolabel": {"onUplod": False, "model": "m"}, "other": 1}
    [warning] = read_project_file(encode(file)).warnings
    assert warning.target == "metadata.settings.autolabel"
    assert "'model', 'onUplod'" in warning.message


def test_a_warning_of_many_fields_is_short() -> None:
    file = file_of(SINGLE, [])
    file["metadata"]["settings"] = {"autolabel": {f"{n:0100}": 1 for n in range(1_000)}}
    [warning] = read_project_file(encode(file)).warnings
    assert len(warning.message) < 1_000


@pytest.mark.parametrize("other", ["news ", "News", "n e w s", "\uff4eews", "ne\u0301ws"])
def test_names_that_look_alike_are_warnings(other: str) -> None:
    first = "n\u00e9ws" if "\u0301" in other else "news"
    read = read_project_file(encode(file_of(SINGLE, [], (first, "other", other))))
    warnings = [w for w in read.warnings if "differ only" in w.message]
    assert [w.target for w in warnings] == ["assets.classes[2].category"]
    assert [category.name for category in read.categories] == [first, "other", other]
