"""What an import of labels changes on a page, when the page changed after its texts were read."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from shared.connection.label_exchange import LabelImport, LabelLines, collect
from shared.domain.document import Reading, apply, new_document
from shared.domain.errors import Unavailable
from shared.domain.labels import EntityLabel, Labels, Region
from shared.domain.names import ProjectKind
from shared.domain.page import Page
from shared.domain.project import FormerName
from shared.domain.text import Offsets
from shared.wire.aml_jsonl import AmlLine, OffsetUnit
from tests.unit.connection.test_conditions import project

TEXT = "\U0001f600 Ada"
UNREAD = new_document("a.txt", "en-us", "r1")
READ = apply(UNREAD, Reading("e", TEXT, None), "r2")
LINE = AmlLine(1, "docs", "a.txt", spans=(EntityLabel("A", 2, 3),))


def importing(texts: dict[str, Offsets | None], unit: OffsetUnit) -> LabelImport:
    lines = LabelLines({0: {UNREAD.id: LINE}})
    return LabelImport(lines, texts, unit, complete=True, revision="r3")


@pytest.mark.parametrize("unit", OffsetUnit)
def test_a_text_that_was_registered_meanwhile_is_read_first(unit: OffsetUnit) -> None:
    """Offsets are never taken unconverted, nor unchecked, for a text that is known by now."""
    with pytest.raises(Unavailable):
        importing({UNREAD.id: None}, unit)(Page(0, {READ.id: READ}), project(ProjectKind.ENTITIES, "A"))


def test_offsets_are_converted_with_the_text() -> None:
    change = importing({READ.id: Offsets(TEXT)}, OffsetUnit.CODE_POINT)
    edit = change(Page(0, {READ.id: READ}), project(ProjectKind.ENTITIES, "A"))
    assert edit is not None
    after = edit.documents[READ.id]
    assert after is not None
    assert after.aml_labels == Labels(regions=(Region(0, 6, (EntityLabel("A", 3, 3),)),))
    assert change(Page(0, {READ.id: after}), project(ProjectKind.ENTITIES, "A")) is None


async def test_a_file_that_does_not_know_a_rename_means_the_current_category_and_revives_none() -> None:
    former = (FormerName("Old", "A", 1), FormerName("Gone", None, 2), FormerName("B", None, 3))
    named = replace(project(ProjectKind.ENTITIES, "AB"), edits=3, former=former)

    async def found() -> AsyncIterator[AmlLine]:
        for number, names in enumerate([("Old", "A"), ("Gone", "A"), ("B", "New")], 1):
            spans = tuple(EntityLabel(name, 2, 3) for name in names)
            yield AmlLine(number, "docs", f"{number}.txt", spans=spans)

    lines = await collect(found(), named)

    taken = [line for page in lines.pages.values() for line in page.values()]
    assert {line.number: [span.category for span in line.spans] for line in taken} == {
        1: ["A"],
        3: ["B", "New"],
    }
    assert lines.bad == {2: "The category 'Gone' was removed; define it again to import it."}
    assert lines.categories == ["New"]
