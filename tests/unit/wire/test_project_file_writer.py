"""Writing project files: export of an import says the same, and Azure's own client can read it."""

import json
from typing import Any

from azure.ai.textanalytics.authoring import models
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.project import Category
from shared.wire.project_file import read_project_file
from shared.wire.project_file_writer import ProjectFileWriter
from tests.unit.wire.project_files import (
    ENTITIES,
    LABEL_FIELDS,
    MULTI,
    SINGLE,
    document,
    encode,
    file_of,
    region,
    write_project_file,
)

NAMES = (
    st.text(st.characters(blacklist_categories=["Cc", "Cs"]), min_size=1, max_size=20)
    .map(str.strip)
    .filter(bool)
)


@st.composite
def regions(draw: st.DrawFn, names: list[str]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    seen: set[tuple[str, int, int]] = set()
    for _ in range(draw(st.integers(0, 2))):
        start, size = draw(st.integers(0, 1_000)), draw(st.integers(0, 100_000))
        labels: set[tuple[str, int, int]] = set()
        for _ in range(draw(st.integers(0, 3)) if names and size else 0):
            length = draw(st.integers(1, min(500, size)))
            offset = draw(st.integers(start, start + size - length))
            labels.add((draw(st.sampled_from(names)), offset, length))
        made.append(region(*sorted(labels - seen), offset=start, length=size))
        seen |= labels
    return made


@st.composite
def label_values(draw: st.DrawFn, kind: str, names: list[str]) -> Any:
    if kind == ENTITIES:
        return draw(regions(names))
    if kind == SINGLE:
        return {"category": draw(st.sampled_from([*names, None]))}
    return [
        {"category": name} for name in draw(st.lists(st.sampled_from(names or [""]), unique=True)) if name
    ]


@st.composite
def files(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from([SINGLE, MULTI, ENTITIES]))
    names = draw(st.lists(NAMES, max_size=5, unique=True))
    documents: list[dict[str, Any]] = []
    for location in draw(
        st.lists(
            st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1),
            unique=True,
        )
    ):
        language, dataset = (
            draw(st.sampled_from(["en-us", "de", "zh-hans"])),
            draw(st.sampled_from(["Train", "Test"])),
        )
        made = {"location": location, "language": language, "dataset": dataset}
        if draw(st.booleans()):
            made[LABEL_FIELDS[kind]] = draw(label_values(kind, names))
        documents.append(made)
    file = file_of(kind, documents, tuple(names))
    for category in file["assets"]["entities" if kind == ENTITIES else "classes"]:
        category.update(draw(st.fixed_dictionaries({}, optional={"description": st.sampled_from(["", "ü"])})))
    autolabel = draw(
        st.fixed_dictionaries({"onUpload": st.booleans()}, optional={"modelLabel": st.just("m1")})
    )
    file["metadata"]["settings"] = {"confidenceThreshold": draw(st.floats(0, 1)), "autolabel": autolabel}
    file["metadata"]["description"] = draw(st.text(st.characters(blacklist_categories=["Cs"])))
    return file


def export(file: dict[str, Any]) -> dict[str, Any]:
    read = read_project_file(encode(file))
    return json.loads(write_project_file(read.details, read.categories, read.documents))


@settings(max_examples=300, deadline=None)
@given(files())
def test_export_of_an_import_is_equal_but_for_order(file: dict[str, Any]) -> None:
    file["assets"]["documents"].sort(key=lambda document: document["location"])
    assert export(file) == file


def test_documents_are_in_the_order_of_their_locations_one_a_line() -> None:
    read = read_project_file(encode(file_of(SINGLE, [document("b"), document("a"), document("B")])))
    text = write_project_file(read.details, read.categories, read.documents).decode()
    assert [line for line in text.splitlines() if "location" in line] == [
        '{"location":"B","language":"en-us","dataset":"Train"},',
        '{"location":"a","language":"en-us","dataset":"Train"},',
        '{"location":"b","language":"en-us","dataset":"Train"}',
    ]


def test_batches_join_to_one_file_and_empty_ones_leave_no_trace() -> None:
    read = read_project_file(encode(file_of(MULTI, [document("a"), document("b"), document("c")])))
    writer = ProjectFileWriter(read.details, read.categories)
    first, *rest = read.documents
    parts = [writer.start(), writer.documents([]), writer.documents([first]), writer.documents([])]
    parts += [writer.documents(rest), writer.end()]
    assert b"".join(parts) == write_project_file(read.details, read.categories, read.documents)


def test_half_a_surrogate_pair_is_written_as_its_escape() -> None:
    details = read_project_file(encode(file_of(SINGLE, []))).details
    file = write_project_file(details, [Category("x", "\ud800 ü")], [])
    assert json.loads(file)["assets"]["classes"] == [{"category": "x", "description": "\ud800 ü"}]


def test_the_official_client_reads_what_we_write() -> None:
    entities = [region(("A", 1, 2))]
    project = models.ExportedProject(export(file_of(ENTITIES, [document("a", entities=entities)])))
    assert project.string_index_type == models.StringIndexType.UTF16_CODE_UNIT
    assert project.metadata.settings is not None
    assert project.metadata.settings.confidence_threshold == 0.0
    assets = project.assets
    assert isinstance(assets, models.ExportedCustomEntityRecognitionProjectAsset)
    assert assets.documents is not None
    assert assets.documents[0].entities is not None
    labels = assets.documents[0].entities[0].labels
    assert labels is not None
    assert (labels[0].category, labels[0].offset, labels[0].length) == ("A", 1, 2)


def test_we_read_what_the_official_client_writes() -> None:
    """The client writes its fields in an order of its own."""
    asset = models.ExportedCustomMultiLabelClassificationProjectAsset(
        classes=[models.ExportedClass(category="A")],
        documents=[
            models.ExportedCustomMultiLabelClassificationDocument(
                location="a.txt", classes=[models.ExportedDocumentClass(category="A")]
            )
        ],
    )
    metadata = models.CreateProjectOptions(
        project_kind=models.ProjectKind.CUSTOM_MULTI_LABEL_CLASSIFICATION,
        storage_input_container_name="documents",
        project_name="p",
        language="en",
    )
    project = models.ExportedProject(
        project_file_version="2023-04-01",
        string_index_type=models.StringIndexType.UTF16_CODE_UNIT,
        metadata=metadata,
        assets=asset,
    )
    read = read_project_file(json.dumps(project.as_dict()).encode())
    assert read.documents[0].labels is not None
    assert read.documents[0].labels.categories == ("A",)
