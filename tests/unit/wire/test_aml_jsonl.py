"""Label files of Azure Machine Learning: read as they come, strict line by line, written and read back the
same.
"""

import json
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.labels import END_OF_TEXT, MAX_ENTITY_LENGTH, EntityLabel, Labels, Region, fit_regions
from shared.domain.names import ProjectKind
from shared.domain.text import Offsets
from shared.wire.aml_jsonl import (
    MAX_LINE_BYTES,
    AmlLine,
    BadLine,
    OffsetUnit,
    can_be_written,
    read,
    read_stream,
    to_labels,
    to_line,
)

SINGLE, MULTI, ENTITIES = ProjectKind.SINGLE_LABEL, ProjectKind.MULTI_LABEL, ProjectKind.ENTITIES
LONG = (
    "azureml://subscriptions/0/resourcegroups/rg/providers/Microsoft.MachineLearningServices/workspaces/ws"
    "/datastores/ds/paths/a/b.txt"
)


def line(label: object, url: str = "AmlDatastore://ds/a.txt", **more: object) -> bytes:
    return json.dumps({"image_url": url, "label": label, **more}).encode() + b"\n"


def span(start: object, end: object, label: object = "PER") -> dict[str, object]:
    return {"label": label, "offsetStart": start, "offsetEnd": end}


def read_line(raw: bytes, kind: ProjectKind, datastore: str | None = None) -> AmlLine | BadLine:
    (found,) = read([raw], kind, datastore)
    return found


def test_the_three_kinds() -> None:
    assert read_line(line("x", label_confidence=1.0), SINGLE) == AmlLine(1, "ds", "a.txt", ("x",))
    assert read_line(line(["x", "y"], label_confidence=[1.0, 0.5]), MULTI) == AmlLine(
        1, "ds", "a.txt", ("x", "y")
    )
    assert read_line(line([], label_confidence=[]), MULTI) == AmlLine(1, "ds", "a.txt")
    found = read_line(line([span(0, 8), span("17", "24", "LOC")], label_confidence=[1.0, 1.0]), ENTITIES)
    assert isinstance(found, AmlLine)
    assert found.spans == (EntityLabel("PER", 0, 8), EntityLabel("LOC", 17, 7)), "offsetEnd is exclusive"


@pytest.mark.parametrize(
    ("url", "datastore", "location"),
    [
        ("AmlDatastore://textcontainer/wnut17_ner/file1098.txt", "textcontainer", "wnut17_ner/file1098.txt"),
        ("amldatastore://ds/a b/ü.txt", "ds", "a b/ü.txt"),
        (LONG, "ds", "a/b.txt"),
        (LONG.replace("/providers/Microsoft.MachineLearningServices", ""), "ds", "a/b.txt"),
        ("azureml://datastores/ds/paths/a/datastores/b/paths/c.txt", "ds", "a/datastores/b/paths/c.txt"),
    ],
)
def test_both_forms_of_path(url: str, datastore: str, location: str) -> None:
    assert read_line(line("x", url), SINGLE) == AmlLine(1, datastore, location, ("x",))


def test_unknown_keys_blank_lines_a_byte_order_mark_and_crlf_are_tolerated() -> None:
    data = b"\xef\xbb\xbf" + line("x", image_width=3, labelers=["a"]).rstrip() + b"\r\n\r\n  \n"
    data += line("y", "AmlDatastore://ds/b.txt").rstrip()
    assert list(read([data], SINGLE)) == [
        AmlLine(1, "ds", "a.txt", ("x",)),
        AmlLine(4, "ds", "b.txt", ("y",)),
    ]


BAD = [
    (SINGLE, b"{", "not JSON"),
    (SINGLE, b"[]", "not a JSON object"),
    (SINGLE, b'{"a": 1, "a": 2}', "more than once"),
    (SINGLE, b'{"image_url": "\xff"}', "not valid UTF-8"),
    (SINGLE, b'{"label": NaN}', "NaN"),
    (SINGLE, b"[" * 100_000, "too deeply"),
    (SINGLE, b'{"a": ' + b"9" * 5_000 + b"}", "too long"),
    (SINGLE, b'{"label": "x"}', "'image_url' is missing"),
    (SINGLE, b'{"image_url": "AmlDatastore://ds/a.txt"}', "'label' is missing"),
    (SINGLE, line("x", "https://host/a.txt"), "must have the form"),
    (SINGLE, line("x", "AmlDatastore://ds/"), "must have the form"),
    (SINGLE, line("x", "AmlDatastore://ds//a.txt"), "not the name of a blob"),
    (SINGLE, line("x", "AmlDatastore://ds/" + "a" * 1_025), "not the name of a blob"),
    (SINGLE, line("x", "AmlDatastore://ds/\ud800"), "not the name of a blob"),
    (SINGLE, line(["x"]), "must be a string"),
    (SINGLE, line(None), "must be a string"),
    (SINGLE, line(""), "1 to 50 characters"),
    (SINGLE, line("a" * 51), "1 to 50 characters"),
    (SINGLE, line("a\tb"), "control characters"),
    (SINGLE, line("x", label_confidence=1.5), "from 0 to 1"),
    (SINGLE, line("x", label_confidence=True), "from 0 to 1"),
    (SINGLE, line("x", label_confidence="1"), "from 0 to 1"),
    (MULTI, line("x,y", label_confidence=[0.9, 0.1]), "must have one number for each"),
    (MULTI, line("x,y"), "must be a list"),
    (MULTI, line(["x", 1]), "must be a string"),
    (MULTI, line(["x", "x"]), "twice"),
    (MULTI, line(["x", "y"], label_confidence=[1.0]), "must have one number for each"),
    (ENTITIES, line("x"), "must be a list of entities"),
    (ENTITIES, line(["x"]), "must be an object"),
    (ENTITIES, line([span(0, 0)]), "1 to 500"),
    (ENTITIES, line([span(5, 2)]), "1 to 500"),
    (ENTITIES, line([span(0, 501)]), "1 to 500"),
    (ENTITIES, line([span(-1, 2)]), "must have integers"),
    (ENTITIES, line([span(1.5, 2)]), "must have integers"),
    (ENTITIES, line([span(True, 2)]), "must have integers"),
    (ENTITIES, line([span("1e2", 200)]), "must have integers"),
    (ENTITIES, line([{"label": "x", "offsetStart": 1}]), "must have integers"),
    (ENTITIES, line([span(1, 2), span(1, 2)]), "an entity twice"),
    (ENTITIES, line([span(0, 1, None)]), "must be a string"),
]


@pytest.mark.parametrize(("kind", "raw", "reason"), BAD)
def test_a_bad_line_is_reported_by_number_and_reason_and_stops_no_other(
    kind: ProjectKind, raw: bytes, reason: str
) -> None:
    good = {SINGLE: "x", MULTI: ["x"], ENTITIES: [span(0, 1)]}[kind]
    before, after = line(good, "AmlDatastore://ds/1.txt"), line(good, "AmlDatastore://ds/2.txt")
    first, bad, last = read([before + raw.rstrip() + b"\n" + after], kind)
    assert isinstance(first, AmlLine)
    assert isinstance(last, AmlLine)
    assert last.number == 3
    assert isinstance(bad, BadLine)
    assert bad.number == 2
    assert reason in bad.reason


def test_lines_of_another_datastore_are_bad_and_the_first_good_line_tells_which_is_meant() -> None:
    data = b"{}\n" + line("x", "AmlDatastore://ds/a.txt") + line("x", "AmlDatastore://other/b.txt")
    data += line("x", "AmlDatastore://DS/c.txt")
    kinds = [type(found) for found in read([data], SINGLE)]
    assert kinds == [BadLine, AmlLine, BadLine, AmlLine], "names of datastores are compared without case"
    assert [type(f) for f in read([data], SINGLE, "other")] == [BadLine, BadLine, AmlLine, BadLine]


def test_a_document_that_is_labeled_twice_is_bad_the_second_time() -> None:
    first, second = read([line("x") + line("y")], SINGLE)
    assert isinstance(first, AmlLine)
    assert isinstance(second, BadLine)
    assert "line 1" in second.reason


def test_an_endless_line_costs_no_memory_and_is_reported() -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(9):
            yield b"x" * (MAX_LINE_BYTES // 4)
        yield b"\n" + line("x")

    bad, good = read(chunks(), SINGLE)
    assert isinstance(bad, BadLine)
    assert "longer than" in bad.reason
    assert isinstance(good, AmlLine)
    assert good.number == 2


@given(st.integers(1, 40))
async def test_where_the_stream_is_cut_does_not_matter(size: int) -> None:
    data = line("ä") + b"{bad\n" + line("y", LONG) + line("z", "AmlDatastore://ds/z.txt").rstrip()
    pieces = [data[i : i + size] for i in range(0, len(data), size)]

    async def stream() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    whole = list(read([data], SINGLE))
    assert len(whole) == 4
    assert list(read(pieces, SINGLE)) == whole
    assert [found async for found in read_stream(stream(), SINGLE)] == whole


TEXTS = st.text(st.sampled_from("ab \U0001f600é\n\r\U00010348"), min_size=1, max_size=40)


@st.composite
def entity_documents(draw: st.DrawFn) -> tuple[str, Labels]:
    text = draw(TEXTS)
    offsets = Offsets(text)
    cuts = draw(st.lists(st.tuples(st.integers(0, len(text) - 1), st.integers(1, 10)), max_size=5))
    spans = {offsets.span_to_utf16(a, min(n, len(text) - a)) for a, n in cuts}
    found = tuple(EntityLabel(draw(st.sampled_from(["PER", "Ä b"])), *s) for s in sorted(spans))
    return text, Labels(regions=(Region(0, offsets.utf16_length, found),))


@given(entity_documents())
def test_entities_come_back_as_they_were_written_in_both_units(document: tuple[str, Labels]) -> None:
    text, labels = document
    offsets = Offsets(text)
    for unit in (None, offsets):
        found = read_line(to_line("a/b.txt", labels, ENTITIES, "ds", unit), ENTITIES)
        assert isinstance(found, AmlLine)
        counts = OffsetUnit.CODE_POINT if unit else OffsetUnit.UTF16
        assert to_labels(found, ENTITIES, None, offsets, counts) == labels


def test_code_points_in_the_file_are_what_python_slices() -> None:
    text = "\U0001f600 Ada"
    labels = Labels(regions=(Region(0, 6, (EntityLabel("PER", 3, 3),)),))
    raw = json.loads(to_line("a.txt", labels, ENTITIES, "ds", Offsets(text)))
    start, end = raw["label"][0]["offsetStart"], raw["label"][0]["offsetEnd"]
    assert text[start:end] == "Ada"
    assert raw["label_confidence"] == [1.0]


@pytest.mark.parametrize(("kind", "names"), [(SINGLE, ("x",)), (MULTI, ("x", "y")), (MULTI, ())])
def test_classes_come_back_as_they_were_written(kind: ProjectKind, names: tuple[str, ...]) -> None:
    found = read_line(to_line("ü/b.txt", Labels(names), kind, "ds"), kind)
    assert isinstance(found, AmlLine)
    assert found.location == "ü/b.txt"
    assert to_labels(found, kind, 5) == Labels(names)


def labels_or_reason(
    *spans: dict[str, object], length: int | None = None, text: str = "", unit: OffsetUnit = OffsetUnit.UTF16
) -> Labels | str:
    found = read_line(line(list(spans)), ENTITIES)
    assert isinstance(found, AmlLine)
    return to_labels(found, ENTITIES, length, Offsets(text) if text else None, unit)


def test_an_entity_beyond_the_end_of_the_text_does_not_fit() -> None:
    assert "beyond the end of the text (5)" in str(labels_or_reason(span(0, 6), length=5))
    code_points = labels_or_reason(span(0, 6), text="abc\U0001f600", unit=OffsetUnit.CODE_POINT)
    assert "beyond the end of the text (4)" in str(code_points)
    assert "beyond the end of the text (256000)" in str(labels_or_reason(span(255_999, 256_001)))


@pytest.mark.parametrize(("start", "end"), [(1, 3), (0, 1), (1, 2), (3, 7)])
def test_an_entity_that_splits_an_emoji_does_not_fit(start: int, end: int) -> None:
    """By the rules of labels set by hand, also inside a sequence of emoji that people see as one."""
    found = labels_or_reason(span(start, end), text="\U0001f468\u200d\U0001f469\u200d\U0001f467 Ada")
    assert "splits a surrogate pair" in str(found)


def test_an_entity_that_is_too_long_in_utf16_does_not_fit() -> None:
    text = "\U0001f600" * MAX_ENTITY_LENGTH
    assert "at most 500" in str(labels_or_reason(span(0, 251), text=text, unit=OffsetUnit.CODE_POINT)), (
        "502 UTF-16 code units"
    )
    assert isinstance(labels_or_reason(span(0, 250), text=text, unit=OffsetUnit.CODE_POINT), Labels)


def test_a_text_that_was_never_read_has_a_region_up_to_its_end() -> None:
    expected = Labels(regions=(Region(0, END_OF_TEXT, (EntityLabel("PER", 0, 3),)),))
    assert labels_or_reason(span(0, 3)) == expected
    assert fit_regions(expected, 20) == Labels(regions=(Region(0, 20, (EntityLabel("PER", 0, 3),)),))
    ends_earlier = Labels(regions=(Region(0, 3, (EntityLabel("PER", 0, 3),)),))
    assert fit_regions(ends_earlier, 20) == ends_earlier, "a region of a project file stays as it is"


def test_labeled_with_nothing_has_no_word_in_a_single_label_file() -> None:
    assert not can_be_written(Labels(), SINGLE)
    assert can_be_written(Labels(), MULTI)
    assert can_be_written(Labels(regions=(Region(0, 3),)), ENTITIES)
