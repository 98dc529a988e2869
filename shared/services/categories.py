"""The categories of a project, and the counts that tell how it stands."""

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import batched
from typing import Any

from shared.domain.category_edits import CategoryEdit
from shared.domain.document import Document
from shared.domain.errors import Conflict, InvalidArgument, LabelbridgeError, NotFound
from shared.domain.ids import random_id
from shared.domain.kinds import Dataset, DocumentStatus, Studio
from shared.domain.page import Edit, Flag, HistoryEntry, Page
from shared.domain.project import CATEGORY_EDIT, Category, Project, define
from shared.domain.statistics import Calibration
from shared.services.stores import Stores
from shared.storage.page_rows import Author

PAGES_AT_ONCE = 32


class Overtaken(Exception):
    """Another worker finished the edit: nothing may be written any more."""


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
        changes = _pending(project, changes)
        _check(project, changes)
        renamed = {
            change.renames: change.name
            for change in changes
            if change.renames and change.renames != change.name
        }
        if renamed:
            await self._edit(project, CategoryEdit(renamed), by)
        return await self._stores.directory.update(name, lambda current: _applied(current, changes))

    async def remove(self, name: str, categories: Sequence[str], by: str) -> Project:
        """Remove categories that no label uses, with what is suggested of them. Raises Conflict where one is used."""
        project = await self._stores.directory.read(name)
        for index, category in enumerate(categories):
            if category not in project.category_names:
                raise NotFound(f"The project has no category '{category}'.", target=f"categories[{index}]")
        return await self._edit(project, CategoryEdit({}, frozenset(categories)), by)

    async def _edit(self, project: Project, edit: CategoryEdit, by: str) -> Project:
        """Under a lock, whose holder tells what is to be done: so that whoever finds it can go on with it."""
        holder = CATEGORY_EDIT + json.dumps(edit.to_json() | {"by": by, "id": random_id()}, sort_keys=True)
        text = "Categories are being changed; try again in a moment."
        await self._stores.gate.lock(project.name, holder, text, 1)
        return await self._finish(project.name, holder)

    async def go_on(self, project: Project) -> None:
        """Finish an edit whose worker died under its lock. Harmless while the worker lives."""
        if project.lock is not None and project.lock.edits_categories:
            holder = project.lock.holder
            if await self._stores.gate.lock_again(project.name, holder):
                with suppress(Conflict):  # the labels still use it: told to the caller, if there is one
                    await self._finish(project.name, holder)

    async def _finish(self, name: str, holder: str) -> Project:
        asked = json.loads(holder.removeprefix(CATEGORY_EDIT))
        edit, gate = CategoryEdit.from_json(asked), self._stores.gate
        try:
            await self._check_again(name, edit)
            await self._edit_documents(name, holder, edit, asked["by"])
        except Overtaken:
            return await self._stores.directory.read(name)
        except Conflict:
            await gate.unlock(name, holder)
            raise  # after any other error the lock stays, and the sweep goes on
        return await gate.unlock(name, holder, edit.in_project)

    async def _check_again(self, name: str, edit: CategoryEdit) -> None:
        """Under the lock, what the caller was told before it may hold no more. Raises Conflict."""
        project = await self._stores.directory.read(name)
        for old, new in edit.renamed.items():
            if old not in project.category_names or new in project.category_names:
                text = f"Somebody else changed '{old}' or '{new}' meanwhile; look at the categories and try again."
                raise Conflict(text, target="value")
        if edit.removed:
            await self._check_unused(project, edit.removed)

    async def _check_unused(self, project: Project, categories: frozenset[str]) -> None:
        used = Counter[str]()
        for head in await self._stores.pages.heads(project.scope):
            used.update({c: head.categories.get(c, 0) + head.aml_categories.get(c, 0) for c in categories})
        for category in sorted(categories):
            if used[category]:
                text = (
                    f"The category '{category}' has {used[category]} labels; only one without can be removed."
                )
                raise Conflict(text, target="categories")

    async def _edit_documents(self, name: str, holder: str, edit: CategoryEdit, by: str) -> None:
        handle = await self._stores.directory.fresh(name)
        scope, author = handle.current.scope, Author(by, self._stores.clock(), random_id())
        facts = {"renamed": dict(edit.renamed)} if edit.renamed else {"removed": sorted(edit.removed)}
        action = "categoryRenamed" if edit.renamed else "categoryRemoved"

        def change(page: Page, current: Project) -> Edit | None:
            if current.lock is None or current.lock.holder != holder:
                raise Overtaken
            after = {d.id: edit.in_document(d, author.revision) for d in page.documents.values()}
            edits: dict[str, Document | None] = {
                key: one for key, one in after.items() if one is not page.documents[key]
            }
            return Edit(edits, tuple(HistoryEntry(key, action, facts) for key in edits)) if edits else None

        numbers = [h.number for h in await self._stores.pages.heads(scope) if h.entries]
        for group in batched(numbers, PAGES_AT_ONCE, strict=False):
            await self._stores.pages.write(handle, group, change, author, passes_gate=True)

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


def _pending(project: Project, changes: Sequence[CategoryChange]) -> list[CategoryChange]:
    """The changes, without renamings that were done before: a caller whose answer was lost asks again."""
    known = set(project.category_names)

    def done(change: CategoryChange) -> bool:
        return change.renames is not None and change.renames not in known and change.name in known

    return [replace(change, renames=None) if done(change) else change for change in changes]


def _check(project: Project, changes: Sequence[CategoryChange]) -> None:
    """Raises InvalidArgument with every fault."""
    known, new = set(project.category_names), [change.name for change in changes]
    olds = [change.renames for change in changes]
    faults: list[LabelbridgeError] = []

    def fault(index: int, field: str, text: str) -> None:
        faults.append(InvalidArgument(text, target=f"value[{index}].{field}"))

    for index, change in enumerate(changes):
        if new.count(change.name) > 1:
            fault(index, "category", f"'{change.name}' is named twice.")
        if change.renames is None or change.renames == change.name:
            continue
        if change.renames not in known:
            fault(index, "previousCategory", f"The project has no category '{change.renames}'.")
        if olds.count(change.renames) > 1:
            fault(index, "previousCategory", f"'{change.renames}' is renamed twice.")
        if change.name in known:
            fault(index, "category", f"The category '{change.name}' exists already.")
    if len(faults) == 1:
        raise faults[0]
    if faults:
        text = f"The request has {len(faults)} faults; see 'details'."
        raise InvalidArgument(text, target=faults[0].target, details=tuple(faults))
    defined = [change.name for change in changes if change.renames is None]
    define(project, defined, "value")  # over 200


def _applied(project: Project, changes: Sequence[CategoryChange]) -> Project:
    described = {change.name: change.description for change in changes if change.description is not None}
    defined = define(project, [change.name for change in changes])
    return replace(
        defined,
        categories=tuple(Category(c.name, described.get(c.name, c.description)) for c in defined.categories),
    )
