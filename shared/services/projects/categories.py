"""The categories of a project and its statistics."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import batched

from shared.domain.category_edits import CategoryEdit, RequestedEdit
from shared.domain.document import Document
from shared.domain.errors import Conflict, NotFound
from shared.domain.names import random_id
from shared.domain.page import (
    Action,
    CategoryRemoval,
    CategoryRenaming,
    Edit,
    HistoryEntry,
    Page,
    ProjectStatistics,
    statistics,
)
from shared.domain.project import Category, Project, define, unknown_categories
from shared.services.jobs.stores import Stores
from shared.storage.pages import Author
from shared.storage.projects import edit_of, holder_of
from shared.wire.json_codec import ValidationErrors

PAGES_AT_ONCE = 32


class Overtaken(Exception):
    """Another worker finished the edit: nothing more may be written."""


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
        _check_changes(project, changes)
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
        summary = "The project does not have {count} of the categories; see 'details'."
        errors = ValidationErrors(kind=NotFound, summary=summary, target="categories")
        errors.add_all(unknown_categories(project, categories))
        errors.raise_any()
        return await self._edit(project, CategoryEdit({}, frozenset(categories)), by)

    async def _edit(self, project: Project, edit: CategoryEdit, by: str) -> Project:
        """Under a lock whose holder describes the edit, so that any worker that finds it can continue."""
        holder = holder_of(RequestedEdit(edit, by, random_id()))
        text = "Categories are being changed; try again in a moment."
        await self._stores.fence.lock(project.name, holder, text, 1)
        return await self._finish(project.name, holder)

    async def go_on(self, project: Project) -> None:
        """Finish an edit whose worker crashed under its lock. Harmless while the worker is alive."""
        if project.lock is not None and project.lock.edits_categories:
            holder = project.lock.holder
            if await self._stores.fence.resume(project.name, holder):
                with suppress(Conflict):  # labels still use it; the caller got the error
                    await self._finish(project.name, holder)

    async def _finish(self, name: str, holder: str) -> Project:
        asked, fence = edit_of(holder), self._stores.fence
        edit = asked.edit
        try:
            await self._check_again(name, edit)
            await self._edit_documents(name, holder, edit, asked.by)
        except Overtaken:
            return await self._stores.directory.read(name)
        except Conflict:
            await fence.unlock(name, holder)
            raise  # after any other error the lock stays, and the sweep continues
        return await fence.unlock(name, holder, edit.in_project)

    async def _check_again(self, name: str, edit: CategoryEdit) -> None:
        """Check again under the lock: the project may have changed since. Raises Conflict."""
        project = await self._stores.directory.read(name)
        for old, new in edit.renamed.items():
            if old not in project.category_names or new in project.category_names:
                text = f"'{old}' or '{new}' was changed in the meantime; check the categories and try again."
                raise Conflict(text, target="value")
        if edit.removed:
            await self._check_unused(project, edit.removed)

    async def _check_unused(self, project: Project, categories: frozenset[str]) -> None:
        used = Counter[str]()
        for head in await self._stores.pages.heads(project.scope):
            used.update({c: head.categories.get(c, 0) + head.aml_categories.get(c, 0) for c in categories})
        summary = "{count} categories have labels; only unused categories can be removed. See 'details'."
        errors = ValidationErrors(kind=Conflict, summary=summary, target="categories")
        for category in sorted(categories):
            if count := used[category]:
                labels = "1 label" if count == 1 else f"{count:,} labels"
                text = f"The category '{category}' has {labels}; only an unused category can be removed."
                errors.add("categories", text)
        errors.raise_any()

    async def _edit_documents(self, name: str, holder: str, edit: CategoryEdit, by: str) -> None:
        handle = await self._stores.directory.fresh(name)
        scope, author = handle.current.scope, Author(by, self._stores.clock(), random_id())
        if edit.renamed:
            action, details = Action.CATEGORY_RENAMED, CategoryRenaming(edit.renamed)
        else:
            action, details = Action.CATEGORY_REMOVED, CategoryRemoval(tuple(sorted(edit.removed)))

        def change(page: Page, current: Project) -> Edit | None:
            if current.lock is None or current.lock.holder != holder:
                raise Overtaken
            after = {d.id: edit.in_document(d, author.revision) for d in page.documents.values()}
            edits: dict[str, Document | None] = {
                key: document for key, document in after.items() if document is not page.documents[key]
            }
            return Edit(edits, tuple(HistoryEntry(key, action, details) for key in edits)) if edits else None

        numbers = [h.number for h in await self._stores.pages.heads(scope) if h.entries]
        for group in batched(numbers, PAGES_AT_ONCE, strict=False):
            await self._stores.pages.write(handle, group, change, author, ignores_fence=True)

    async def statistics(self, project_name: str) -> ProjectStatistics:
        project = await self._stores.directory.read(project_name)
        return statistics(project, await self._stores.pages.heads(project.scope))


def _pending(project: Project, changes: Sequence[CategoryChange]) -> list[CategoryChange]:
    """The changes, without renames that are already done: a caller whose response was lost repeats its request."""
    known = set(project.category_names)

    def done(change: CategoryChange) -> bool:
        return change.renames is not None and change.renames not in known and change.name in known

    return [replace(change, renames=None) if done(change) else change for change in changes]


def _check_changes(project: Project, changes: Sequence[CategoryChange]) -> None:
    """Raises InvalidArgument with everything that is wrong."""
    known = set(project.category_names)
    named = Counter(change.name for change in changes)
    renamed = Counter(change.renames for change in changes)
    errors = ValidationErrors()
    for index, change in enumerate(changes):
        path = f"value[{index}]"
        if named[change.name] > 1:
            errors.add(f"{path}.category", f"'{change.name}' is listed twice.")
        if change.renames is None or change.renames == change.name:
            continue
        if change.renames not in known:
            errors.add(f"{path}.previousCategory", f"The project has no category '{change.renames}'.")
        if renamed[change.renames] > 1:
            errors.add(f"{path}.previousCategory", f"'{change.renames}' is renamed twice.")
        if change.name in known:
            errors.add(f"{path}.category", f"The category '{change.name}' already exists.")
    errors.raise_any()
    defined = [change.name for change in changes if change.renames is None]
    define(project, defined, "value")  # raises when there are too many


def _applied(project: Project, changes: Sequence[CategoryChange]) -> Project:
    described = {change.name: change.description for change in changes if change.description is not None}
    defined = define(project, [change.name for change in changes])
    return replace(
        defined,
        categories=tuple(Category(c.name, described.get(c.name, c.description)) for c in defined.categories),
    )
