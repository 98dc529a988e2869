"""The categories of a project, and the counts that tell how it stands."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from shared.domain.document import Document
from shared.domain.errors import InvalidArgument, LabelbridgeError
from shared.domain.ids import random_id
from shared.domain.kinds import Dataset, DocumentStatus, Studio
from shared.domain.labels import EntityLabel, Labels, Region
from shared.domain.page import Edit, Flag, HistoryEntry, Page
from shared.domain.project import Category, Project, define
from shared.domain.statistics import Calibration
from shared.domain.suggestions import SuggestionSet, suggestion_id
from shared.services.stores import Stores
from shared.storage.page_rows import Author

#: Begins the name of the lock's holder.
RENAMES = "rename "


@dataclass(frozen=True, slots=True)
class CategoryChange:
    """A category to define or describe; `renames` names the one that gets this name."""

    name: str
    description: str | None = None
    renames: str | None = None


class CategoryService:
    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def put(self, name: str, changes: Sequence[CategoryChange], by: str) -> Project:
        """Define, describe and rename; categories that are not named stay as they are."""
        project = await self._stores.directory.read(name)
        _check(project, changes)
        renamed = {
            change.renames: change.name
            for change in changes
            if change.renames and change.renames != change.name
        }
        if renamed:
            await self._rename(project, renamed, by)
        return await self._stores.directory.update(name, lambda current: _applied(current, changes))

    async def _rename(self, project: Project, renamed: dict[str, str], by: str) -> None:
        """Under a lock, so that no save brings an old name back; repeating it after a crash goes on with it."""
        holder = RENAMES + json.dumps(renamed, sort_keys=True)
        await self._stores.gate.lock(
            project.name, holder, "Categories are being renamed; try again in a moment.", 1
        )
        try:
            handle = await self._stores.directory.fresh(project.name)
            author = Author(by, self._stores.clock(), random_id())

            def change(page: Page, current: Project) -> Edit | None:
                after = {d.id: _rename_in(d, renamed, author.revision) for d in page.documents.values()}
                edits: dict[str, Document | None] = {
                    key: one for key, one in after.items() if one is not page.documents[key]
                }
                facts = {"renamed": renamed}
                history = tuple(HistoryEntry(key, "categoryRenamed", facts) for key in edits)
                return Edit(edits, history) if edits else None

            numbers = [h.number for h in await self._stores.pages.heads(project.scope) if h.entries]
            for start in range(0, len(numbers), 32):
                await self._stores.pages.write(
                    handle, numbers[start : start + 32], change, author, passes_gate=True
                )
        finally:
            await self._stores.gate.unlock(
                project.name, holder, lambda current: _with_names(current, renamed)
            )

    async def go_on_renaming(self, project: Project) -> None:
        """Finish what died under its lock; the holder's name tells what was to be renamed."""
        if project.lock is not None and project.lock.holder.startswith(RENAMES):
            await self._rename(project, json.loads(project.lock.holder.removeprefix(RENAMES)), "labelbridge")

    async def statistics(self, name: str) -> dict[str, Any]:
        """Counts by status and dataset, labels by category, and the share accepted by confidence band."""
        project = await self._stores.directory.read(name)
        heads = await self._stores.pages.heads(project.scope)
        status, dataset = Counter[str](), Counter[str]()
        categories, calibration, missing, waiting = Counter[str](), Calibration(), 0, 0
        here = project.active_studio is Studio.LANGUAGE_STUDIO
        for head in heads:
            categories.update(head.categories if here else head.aml_categories)
            for entry in head.entries:
                status[entry.status(project.generation, project.active_studio)] += 1
                dataset[entry.dataset] += 1
                missing += bool(entry.flags & Flag.MISSING)
                waiting += bool(entry.flags & Flag.WAITING)
            accepted, rejected = ([head.tallies.get(b, (0, 0))[i] for b in range(10)] for i in (0, 1))
            calibration += Calibration(tuple(accepted), tuple(rejected))
        names = dict.fromkeys((*project.category_names, *sorted(categories)))
        return {
            "documents": {
                "total": status.total(),
                **{one.value: status[one] for one in DocumentStatus},
                "missing": missing,
                "waiting": waiting,
            },
            "datasets": {one.value: dataset[one] for one in Dataset},
            "categories": [{"category": one, "labels": categories[one]} for one in names],
            "calibration": calibration.to_wire(),
        }


def _check(project: Project, changes: Sequence[CategoryChange]) -> None:
    known, new = set(project.category_names), [change.name for change in changes]
    faults: list[LabelbridgeError] = []
    for index, change in enumerate(changes):
        if new.count(change.name) > 1:
            faults.append(
                InvalidArgument(f"'{change.name}' is named twice.", target=f"value[{index}].category")
            )
        if change.renames is not None and change.renames not in known | {change.name}:
            text = f"The project has no category '{change.renames}'."
            faults.append(InvalidArgument(text, target=f"value[{index}].previousCategory"))
        if change.renames not in {None, change.name} and change.name in known:
            text = f"The category '{change.name}' exists already."
            faults.append(InvalidArgument(text, target=f"value[{index}].category"))
    if faults:
        raise (
            faults[0]
            if len(faults) == 1
            else InvalidArgument("See 'details'.", target="value", details=tuple(faults))
        )
    define(project, new)  # over 200


def _applied(project: Project, changes: Sequence[CategoryChange]) -> Project:
    described = {change.name: change.description for change in changes if change.description is not None}
    defined = define(project, [change.name for change in changes])
    return replace(
        defined,
        categories=tuple(Category(c.name, described.get(c.name, c.description)) for c in defined.categories),
    )


def _with_names(project: Project, renamed: dict[str, str]) -> Project:
    autolabel = project.settings.autolabel
    wanted = autolabel.categories and tuple(renamed.get(name, name) for name in autolabel.categories)
    return replace(
        project,
        categories=tuple(Category(renamed.get(c.name, c.name), c.description) for c in project.categories),
        settings=replace(project.settings, autolabel=replace(autolabel, categories=wanted)),
    )


def _rename_in(document: Document, renamed: dict[str, str], revision: str) -> Document:
    after = replace(
        document,
        labels=_rename_labels(document.labels, renamed),
        aml_labels=_rename_labels(document.aml_labels, renamed),
        suggestions=_rename_suggestions(document, renamed, revision),
        rejected=frozenset(
            r._replace(category=renamed.get(r.category, r.category)) for r in document.rejected
        ),
    )
    return document if after == document else replace(after, revision=revision, undo=None)


def _rename_labels(labels: Labels | None, renamed: dict[str, str]) -> Labels | None:
    if labels is None or not any(name in renamed for name in labels.used_categories()):
        return labels
    regions = tuple(
        Region(
            r.offset,
            r.length,
            tuple(EntityLabel(renamed.get(e.category, e.category), e.offset, e.length) for e in r.labels),
        )
        for r in labels.regions
    )
    return Labels(tuple(renamed.get(name, name) for name in labels.categories), regions)


def _rename_suggestions(document: Document, renamed: dict[str, str], revision: str) -> SuggestionSet | None:
    one = document.suggestions
    if one is None or not any(s.category in renamed for s in one.items):
        return one
    items = tuple(
        replace(
            s,
            category=renamed.get(s.category, s.category),
            id=suggestion_id(document.content, renamed.get(s.category, s.category), s.offset, s.length),
        )
        for s in one.items
    )
    return replace(one, items=items, revision=revision)
