"""Renaming a category renames it everywhere, in what was rejected too (rules A4, D7)."""

from shared.domain.review import Decision
from shared.services import etags
from shared.services.categories import CategoryChange
from shared.services.review import Submitted
from tests.support.services import App


async def _rename(app: App, old: str, new: str) -> None:
    await app.container.categories.put(app.name, [CategoryChange(new, None, old)], "tester")


async def _review(app: App, location: str, *, accept: bool) -> None:
    document = await app.document(location)
    assert document is not None
    decision = Decision(document.id, accept_all=accept, reject_all=not accept)
    _, [result] = await app.container.review.save(app.name, [Submitted(decision, etags.ANY)], "tester")
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
    assert job.result["outcomes"] == {"suggested": 0, "nothingFound": 1, "skipped": 0, "failed": 0}


async def test_a_rename_that_died_under_its_lock_goes_on_with_the_sweep(app: App) -> None:
    await app.create()
    await app.define("Refund")
    stores = app.container.stores
    await stores.gate.lock(app.name, 'rename {"Refund": "Money"}', "Categories are being renamed.", 1)

    await app.container.maintenance.sweep()

    project = await stores.projects.get(app.name)
    assert project.lock is None
    assert project.category_names == ("Money",)
