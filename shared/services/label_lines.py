"""Lines of an AML label file against the documents of a project: what each line means for the document it
names.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from shared.domain.document import Document, document_id, set_labels
from shared.domain.kinds import ProjectKind
from shared.domain.labels import Labels
from shared.domain.page import Edit, HistoryEntry, Page, page_of
from shared.domain.project import MAX_CATEGORIES, Project
from shared.domain.text import Offsets
from shared.storage.document_codec import encode_labels
from shared.wire.aml_jsonl import OffsetUnit, to_labels
from shared.wire.aml_line import AmlLine, BadLine

AML = "azureMachineLearning"


@dataclass(slots=True)
class LabelLines:
    """A label file that was read: its good lines by page and document, its bad ones by number."""

    pages: dict[int, dict[str, AmlLine]] = field(default_factory=dict[int, dict[str, AmlLine]])
    bad: dict[int, str] = field(default_factory=dict[int, str])
    categories: list[str] = field(default_factory=list[str])

    @property
    def good(self) -> int:
        return sum(len(lines) for lines in self.pages.values())

    def between(self, low: int, high: int) -> dict[str, AmlLine]:
        """The lines of some pages by document id."""
        return {key: line for n in range(low, high) for key, line in self.pages.get(n, {}).items()}

    def refuse(self, line: AmlLine, reason: str) -> None:
        self.bad[line.number] = reason


async def collect(found: AsyncIterator[AmlLine | BadLine], project: Project) -> LabelLines:
    """Read all lines; those with a category that would be one too many are bad."""
    lines, known = LabelLines(), set(project.category_names)
    async for one in found:
        if isinstance(one, BadLine):
            lines.bad[one.number] = one.reason
            continue
        fresh = sorted(_names(one) - known)
        if len(known) + len(fresh) > MAX_CATEGORIES:
            lines.refuse(
                one, f"'{fresh[0]}' would be a category more than the {MAX_CATEGORIES} a project can have."
            )
            continue
        known.update(fresh)
        lines.categories += fresh
        key = document_id(one.location)
        lines.pages.setdefault(page_of(key, project.pages), {})[key] = one
    return lines


def _names(line: AmlLine) -> set[str]:
    return {*line.categories, *(span.category for span in line.spans)}


def needs_text(line: AmlLine, document: Document, unit: OffsetUnit) -> bool:
    """Whether code points must be counted: not where no character takes two UTF-16 units."""
    plain = document.length is not None and document.length == document.characters
    return unit is OffsetUnit.CODE_POINT and bool(line.spans) and not plain


class Importing:
    """Computes what an import changes on a page. `texts`: the documents that had to be read, by id.

    `complete`: the file tells of every document, so that one it does not name is unlabeled in AML.
    """

    def __init__(
        self, lines: LabelLines, texts: Mapping[str, Offsets], *, complete: bool, revision: str
    ) -> None:
        self._lines = lines
        self._texts = texts
        self._complete = complete
        self._revision = revision

    def __call__(self, page: Page, project: Project) -> Edit | None:
        lines = self._lines.pages.get(page.number, {})
        changed: dict[str, Document | None] = {}
        history: list[HistoryEntry] = []
        for document in page.documents.values():
            labels = self._wanted(document, lines.get(document.id), project.kind)
            if not same_labels(labels, document.aml_labels):
                changed[document.id] = replace(document, aml_labels=labels, revision=self._revision)
                history.append(_entry("labelsImported", document, document.aml_labels, labels))
        return Edit(changed, tuple(history)) if changed else None

    def _wanted(self, document: Document, line: AmlLine | None, kind: ProjectKind) -> Labels | None:
        if line is None:
            return None if self._complete else document.aml_labels
        length = document.length
        if length is None:  # the text was never read: only the labels tell how long it must be
            length = max((span.end for span in line.spans), default=0)
        found = to_labels(line, kind, length, self._texts.get(document.id))
        if isinstance(found, str):
            self._lines.refuse(line, found)
            return document.aml_labels
        return found


def adopting(revision: str) -> Callable[[Page, Project], Edit | None]:
    """Where AML labeled a document, its labels become ours (rule C5); the history keeps what ours were."""

    def change(page: Page, project: Project) -> Edit | None:
        changed: dict[str, Document | None] = {}
        history: list[HistoryEntry] = []
        for document in page.documents.values():
            labels = document.aml_labels
            if labels is None or same_labels(labels, document.labels):
                continue
            after = set_labels(document, project.kind, labels, revision)
            changed[document.id] = replace(after, content_changed=document.content_changed)
            history.append(_entry("labelsAdopted", document, document.labels, labels))
        return Edit(changed, tuple(history)) if changed else None

    return change


def same_labels(left: Labels | None, right: Labels | None) -> bool:
    """Regions do not count: a label file has none."""
    if left is None or right is None:
        return left is right
    if set(left.categories) != set(right.categories):
        return False
    return sorted(map(_key, left.entities())) == sorted(map(_key, right.entities()))


def _key(entity: object) -> str:
    return repr(entity)


def _entry(action: str, document: Document, before: Labels | None, after: Labels | None) -> HistoryEntry:
    facts = {"before": encode_labels(before), "after": encode_labels(after), "source": AML}
    return HistoryEntry(document.id, action, facts)


def strangers(lines: Mapping[str, AmlLine], pages: Iterable[Page]) -> list[AmlLine]:
    """Lines of documents that the project does not have."""
    known = {key for page in pages for key in page.documents}
    return [line for key, line in lines.items() if key not in known]
