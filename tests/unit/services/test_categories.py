"""Renaming a category renames it everywhere, in what was rejected too (rules A4, D16)."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from shared.domain.category_edits import CategoryEdit, RequestedEdit
from shared.domain.document import ANY_VERSION
from shared.domain.errors import Conflict, LabelingLocked, NotFound
from shared.domain.project import MAX_CATEGORIES
from shared.domain.review import Decision
from shared.services.projects.categories import CategoryChange, Overtaken
from shared.services.review.service import Submitted
from shared.storage.gateways.ports import StorageUnavailable
from shared.storage.projects import edit_of, holder_of
from tests.support.services import App, result_json


async def _rename(app: App, old: str, new: str) -> None:
    await app.container.categories.put(app.name, [CategoryChange(new, None, old)], "tester")


async def _review(app: App, location: str, *, accept: bool) -> None:
    document = await app.document(location)
    assert document is not None
    decision = Decision(document.id, accept_all=accept, reject_all=not accept)
    _, [result] = await app.container.review.save(app.name, [Submitted(decision, ANY_VERSION)], "tester")
    assert result.status == "saved"


async def test_a_rename_reaches_labels_and_pending_suggestions(app: App) -> None:
    await app.create()
    await app.define("Refund")
    await app.upload({"a.txt": "@Refund:73 please", "b.txt": "@Refund:60 now"})
    await app.drain()
    await _review(app, "a.txt", accept=True)

    await _rename(app, "Refund", "Money")

    accepted, pending = await app.document("a.txt"), await app.document("b.txt")
    assert accepted is not None
    assert accepted.labels is not None
    assert accepted.labels.categories == ("Money",)
    assert pending is not None
    assert pending.suggestions is not None
    assert [s.category for s in pending.suggestions.items] == ["Money"]
    assert (await app.container.projects.get(app.name)).category_names == ("Money",)


async def test_what_was_rejected_stays_rejected_under_the_new_name(app: App) -> None:
    await app.create()
    await app.define("Refund")
    await app.upload({"a.txt": "@Money:73 or @Refund:50"})
    await app.drain()
    await _review(app, "a.txt", accept=False)

    await _rename(app, "Refund", "Money")
    job = await app.autolabel()

    document = await app.document("a.txt")
    assert document is not None
    assert document.suggestions is None
    assert result_json(job)["outcomes"] == {"suggested": 0, "nothingFound": 1, "skipped": 0, "failed": 0}


async def test_what_was_rejected_stays_rejected_when_the_blob_is_deleted_and_comes_back(app: App) -> None:
    await app.create()
    await app.define("Refund", "Login")
    await app.upload({"a.txt": "@Refund:73 or @Login:50", "b.txt": "@Refund:60"})
    await app.drain()
    await _review(app, "a.txt", accept=False)
    await app.blobs.delete(app.documents, "a.txt")
    await app.container.uploads.seen(app.documents, "a.txt")
    await app.drain()
    assert await app.document("a.txt") is None
    await _rename(app, "Refund", "Money")

    await app.upload({"a.txt": "@Refund:73 or @Login:50"})
    await app.drain()

    document = await app.document("a.txt")
    assert document is not None
    assert document.suggestions is not None
    assert [s.category for s in document.suggestions.items] == ["Login"]


async def _dies_under_the_lock(app: App, old: str, new: str) -> None:
    """Rename until the first page is to be written, and no further."""

    async def dies(*_: object, **__: object) -> None:
        raise StorageUnavailable

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app.container.stores.pages, "write", dies)
        with pytest.raises(StorageUnavailable):
            await _rename(app, old, new)


@pytest.mark.parametrize("old", ["Refund", "a/b#?", "x" * 50])
async def test_a_rename_that_died_under_its_lock_goes_on_with_the_sweep(app: App, old: str) -> None:
    await app.create()
    await app.define(old)
    await _dies_under_the_lock(app, old, "Money")
    assert (await app.container.stores.projects.get(app.name)).lock is not None

    await app.container.maintenance.sweep()

    project = await app.container.stores.projects.get(app.name)
    assert (project.lock, project.category_names) == (None, ("Money",))
    used = await app.document(f"~{old}.txt")
    assert used is not None
    assert used.labels is not None
    assert used.labels.categories == ("Money",)


async def test_a_sweep_that_saw_an_old_row_does_not_repeat_the_rename(app: App) -> None:
    await app.create()
    await app.define("Refund")
    stores = app.container.stores
    await _dies_under_the_lock(app, "Refund", "Money")
    seen = await stores.projects.get(app.name)
    await app.container.maintenance.sweep()
    await app.container.categories.put(app.name, [CategoryChange("Refund")], "tester")
    await app.define("Refund")

    await app.container.categories.go_on(seen)

    project = await stores.projects.get(app.name)
    assert (project.lock, project.category_names) == (None, ("Money", "Refund"))
    saved = await app.document("~Refund.txt")
    assert saved is not None
    assert saved.labels is not None
    assert saved.labels.categories == ("Refund",)


async def test_a_worker_that_comes_late_changes_nothing_any_more(app: App) -> None:
    """Two at one rename: the second had begun under the lock, and goes on after a reviewer's save."""
    await app.create()
    await app.define("Refund")
    pages = app.container.stores.pages
    write = pages.write
    late: list[Callable[[], Awaitable[object]]] = []

    async def noted(*args: Any, **options: Any) -> object:
        late.append(partial(write, *args, **options))
        return await write(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "write", noted)
        await _rename(app, "Refund", "Money")
    await app.container.categories.put(app.name, [CategoryChange("Refund")], "tester")
    await app.define("Refund")

    with pytest.raises(Overtaken):
        await late[0]()

    saved = await app.document("~Refund.txt")
    assert saved is not None
    assert saved.labels is not None
    assert saved.labels.categories == ("Refund",)


async def test_a_rename_to_a_name_that_was_defined_before_its_lock_is_refused(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    await app.create()
    await app.define("Refund")
    fence = app.container.stores.fence
    lock = fence.lock

    async def later(*arguments: Any) -> object:
        monkeypatch.undo()
        await app.container.categories.put(app.name, [CategoryChange("Money")], "someone else")
        return await lock(*arguments)

    monkeypatch.setattr(fence, "lock", later)
    with pytest.raises(Conflict, match="'Refund' or 'Money' was changed"):
        await _rename(app, "Refund", "Money")

    project = await app.container.stores.projects.get(app.name)
    assert (project.lock, project.category_names) == (None, ("Refund", "Money"))


async def test_no_category_is_defined_while_one_is_renamed(app: App) -> None:
    await app.create()
    await app.define("Refund")
    await _dies_under_the_lock(app, "Refund", "Money")

    with pytest.raises(LabelingLocked):
        await app.container.categories.put(app.name, [CategoryChange("Money")], "tester")


async def test_the_same_rename_again_changes_nothing(app: App) -> None:
    await app.create()
    await app.define("Refund")
    change = CategoryChange("Money", "what is paid back", "Refund")

    for _ in range(2):
        project = await app.container.categories.put(app.name, [change], "tester")
        assert [(c.name, c.description) for c in project.categories] == [("Money", "what is paid back")]


async def test_a_project_with_all_its_categories_renames_one(app: App) -> None:
    await app.create()
    names = [f"C{number}" for number in range(MAX_CATEGORIES)]
    await app.container.categories.put(app.name, [CategoryChange(name) for name in names], "tester")

    await _rename(app, "C7", "Seven")

    assert (await app.container.projects.get(app.name)).category_names[7] == "Seven"


async def test_what_can_be_undone_can_be_undone_after_a_rename(app: App) -> None:
    await app.create()
    await app.define("Refund", "Login")
    await app.upload({"a.txt": "@Refund:73"})
    await app.drain()
    await _review(app, "a.txt", accept=True)
    await _rename(app, "Login", "Sign-in")
    await _rename(app, "Refund", "Money")

    document = await app.document("a.txt")
    assert document is not None
    undone = await app.container.documents.undo(app.name, document.id, ANY_VERSION, "tester")

    assert undone.document.labels is None
    assert undone.document.suggestions is not None
    assert [s.category for s in undone.document.suggestions.items] == ["Money"]


async def test_a_job_planned_before_a_rename_suggests_under_the_new_name(app: App) -> None:
    await app.create()
    await app.define("Refund", "Login")
    await app.fit()
    await app.upload({"a.txt": "@Refund:73"})
    await app.deliver(*app.sent.waiting.popleft())
    await _rename(app, "Refund", "Money")
    await app.drain()

    document = await app.document("a.txt")
    assert document is not None
    assert document.suggestions is not None
    assert [s.category for s in document.suggestions.items] == ["Money"]


async def test_a_category_without_labels_is_removed_with_its_suggestions(app: App) -> None:
    await app.create()
    await app.define("Refund", "Login")
    await app.container.categories.put(app.name, [CategoryChange("Rare")], "tester")
    await app.upload({"a.txt": "@Rare:73", "b.txt": "@Refund:60"})
    await app.drain()

    for _ in range(2):
        with suppress(NotFound):
            await app.container.categories.remove(app.name, ["Rare"], "tester")

    assert (await app.container.projects.get(app.name)).category_names == ("Refund", "Login")
    removed, other = await app.document("a.txt"), await app.document("b.txt")
    assert removed is not None
    assert removed.suggestions is None
    assert other is not None
    assert other.suggestions is not None


async def test_a_category_with_labels_is_not_removed(app: App) -> None:
    await app.create()
    await app.define("Refund", "Login")

    with pytest.raises(Conflict, match="'Login' has 1 label; only"):
        await app.container.categories.remove(app.name, ["Login"], "tester")
    with pytest.raises(Conflict, match="2 categories have labels; only unused categories can be") as caught:
        await app.container.categories.remove(app.name, ["Login", "Refund"], "tester")
    assert [detail.message.partition(";")[0] for detail in caught.value.details] == [
        "The category 'Login' has 1 label",
        "The category 'Refund' has 1 label",
    ]
    with pytest.raises(NotFound, match="does not have 2 of the categories") as unknown:
        await app.container.categories.remove(app.name, ["A", "Login", "B"], "tester")
    assert (caught.value.target, unknown.value.target) == ("categories", "categories")
    assert [detail.target for detail in unknown.value.details] == ["categories[0]", "categories[2]"]

    project = await app.container.stores.projects.get(app.name)
    assert (project.lock, project.category_names) == (None, ("Refund", "Login"))


def test_the_holder_of_the_lock_is_stored_as_it_was() -> None:
    asked = RequestedEdit(CategoryEdit({"Réfund": "Money"}, frozenset({"B", "A"})), "Ana", "id1")
    holder = (
        'categories {"by": "Ana", "id": "id1", "removed": ["A", "B"], "renamed": {"R\\u00e9fund": "Money"}}'
    )
    assert (holder_of(asked), edit_of(holder)) == (holder, asked)
