"""Renaming and removing categories, in a project and in every document that bears their names."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from shared.domain.document import Document, Undo
from shared.domain.labels import Labels, Rejected, SuggestionSet, suggestion_id
from shared.domain.project import Category, FormerName, Project

#: Former names that a project remembers, the latest ones.
MAX_FORMER = 400


@dataclass(frozen=True, slots=True)
class CategoryEdit:
    """`renamed`: new names by old ones. `removed`: categories that no label uses."""

    renamed: Mapping[str, str]
    removed: frozenset[str] = frozenset()

    def name(self, old: str) -> str:
        return self.renamed.get(old, old)

    def in_project(self, project: Project) -> Project:
        """Settings are updated too, and former names are remembered."""
        names = [c for c in project.categories if c.name not in self.removed]
        edit = project.edits + 1
        former = [replace(former_name, now=self._now(former_name.now)) for former_name in project.former]
        former += [FormerName(old, self._now(old), edit) for old in (*self.renamed, *sorted(self.removed))]
        autolabel = project.settings.autolabel
        wanted = autolabel.categories
        if wanted is not None:
            wanted = tuple(self.name(c) for c in wanted if c not in self.removed)
        return replace(
            project,
            categories=tuple(Category(self.name(c.name), c.description) for c in names),
            edits=edit,
            former=tuple(former[-MAX_FORMER:]),
            settings=replace(project.settings, autolabel=replace(autolabel, categories=wanted)),
        )

    def _now(self, name: str | None) -> str | None:
        return None if name is None or name in self.removed else self.name(name)

    def in_document(self, document: Document, revision: str) -> Document:
        """Unchanged documents are returned as they are."""
        after = replace(
            document,
            labels=self._labels(document.labels),
            aml_labels=self._labels(document.aml_labels),
            suggestions=self._suggestions(document.content, document.suggestions, revision),
            rejected=self._rejected(document.rejected),
            undo=self._undo(document.content, document.undo, revision),
        )
        return document if after == document else replace(after, revision=revision)

    def _undo(self, content: str, last: Undo | None, revision: str) -> Undo | None:
        """None where it would restore a removed category."""
        if last is None:
            return None
        if last.labels is not None and self.removed.intersection(last.labels.used_categories()):
            return None
        return replace(
            last,
            labels=self._labels(last.labels),
            suggestions=self._suggestions(content, last.suggestions, revision),
            rejected=self._rejected(last.rejected),
            earlier=self._undo(content, last.earlier, revision),
        )

    def _rejected(self, rejected: frozenset[Rejected]) -> frozenset[Rejected]:
        return rejected and frozenset(r._replace(category=self.name(r.category)) for r in rejected)

    def _labels(self, labels: Labels | None) -> Labels | None:
        return labels and labels.renamed(self.name)

    def _suggestions(self, content: str, made: SuggestionSet | None, revision: str) -> SuggestionSet | None:
        touched = self.renamed.keys() | self.removed
        if made is None or not any(s.category in touched for s in made.items):
            return made
        items = tuple(
            replace(
                s,
                category=self.name(s.category),
                id=suggestion_id(content, self.name(s.category), s.offset, s.length),
            )
            for s in made.items
            if s.category not in self.removed
        )
        return replace(made, items=items, revision=revision) if items else None


@dataclass(frozen=True, slots=True)
class RequestedEdit:
    """An edit and who asked for it. `id`: of this request, for the same edit may be asked for again later."""

    edit: CategoryEdit
    by: str
    id: str
