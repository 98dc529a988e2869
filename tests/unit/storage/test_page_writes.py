"""A save and the table beneath it: whatever is lost or stops, a decision is saved once or not at all (rule V2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import override

import pytest

from shared.domain.document import ANY_VERSION, Document, document_id, parse_version
from shared.domain.errors import LabelingLocked, Unavailable
from shared.domain.page import page_of
from shared.domain.review import Decision
from shared.services.review.service import Result, Saved, Submitted
from shared.storage.gateways.ports import Operation, Replace, StorageUnavailable, UpsertMerge
from shared.wire.documents import etag
from tests.support.repeating import Repeating
from tests.support.services import App, in_process
from tests.support.storage.faults import Crash, Faults, LostAnswer, Plan, crash_at
from tests.support.storage.memory import MemoryStorage

ONE, OTHER = "a.txt", "b.txt"


@dataclass
class Saving:
    """A project with two documents that have suggestions, and one save of both under one revision."""

    storage: MemoryStorage
    submitted: Sequence[Submitted]
    warm: bool = True

    async def save(self, app: App) -> list[Result]:
        _, results = await app.container.review.save("p", self.submitted, "me", "revision-1")
        return results

    async def accepted(self) -> list[int]:
        """How often each document's history tells of a decision; its labels and tallies must agree."""
        app = in_process(self.storage)
        counts: list[int] = []
        for location in (ONE, OTHER):
            document = await app.document(location)
            assert document is not None
            history = await app.container.documents.history("p", document.id)
            decided = [change for change in history if change.entry.action == "decided"]
            assert (document.labels is not None) == bool(decided)
            assert (document.revision == "revision-1") == bool(decided)
            counts.append(len(decided))
            assert await _tallied(app, document) == len(decided)
        return counts


@pytest.fixture
async def saving() -> Saving:
    return await _prepared()


async def _prepared() -> Saving:
    storage = MemoryStorage()
    app = in_process(storage)
    await app.create()
    await app.define("Refund")
    await app.upload({ONE: "@Refund:73 a", OTHER: "@Refund:84 b"})
    await app.drain()
    submitted = []
    for location in (ONE, OTHER):
        document = await app.document(location)
        assert document is not None
        decision = Decision(document.id, accept_all=True)
        submitted.append(Submitted(decision, parse_version(etag(document, 0))))
    return Saving(storage, submitted)


async def _tallied(app: App, document: Document) -> int:
    project = await app.container.projects.get("p")
    page = await app.container.stores.pages.load(project.scope, page_of(document.id, project.pages))
    return sum(yes + no for yes, no in page.tallies.values())


async def _with_faults(plan: Plan | None) -> tuple[Saving, Faults, list[Result] | None]:
    saving, faults = await _prepared(), Faults(plan)
    app = in_process(saving.storage, table=faults.table(saving.storage.table("projects")))
    try:
        return saving, faults, await saving.save(app)
    except (Crash, StorageUnavailable):
        return saving, faults, None


async def test_a_crash_at_any_point_saves_once_or_not_at_all() -> None:
    for number in count():
        for moment in ("before", "after"):
            saving, faults, _ = await _with_faults(crash_at(number, moment))
            counts = await saving.accepted()
            assert counts in ([0, 0], [1, 1]), f"{moment} {faults.calls[-1]}"
            if not faults.crashed:
                assert counts == [1, 1]
                assert number >= 3
                return


async def test_a_caller_who_tries_again_after_a_crash_has_saved_once() -> None:
    for number in range(6):
        for moment in ("before", "after"):
            saving, _, _ = await _with_faults(crash_at(number, moment))

            results = await saving.save(in_process(saving.storage))

            assert [r.status for r in results] == [Saved.SAVED, Saved.SAVED]
            assert await saving.accepted() == [1, 1]


async def test_a_lost_answer_at_any_point_is_saved_once_when_the_caller_tries_again() -> None:
    for number in range(6):
        saving, _, _ = await _with_faults(lambda call, n=number: LostAnswer() if call.number == n else None)

        results = await saving.save(in_process(saving.storage))

        assert [r.status for r in results] == [Saved.SAVED, Saved.SAVED]
        assert await saving.accepted() == [1, 1]


async def test_a_transaction_that_the_sdk_repeats_is_recognized_as_our_own(saving: Saving) -> None:
    table = Repeating(saving.storage.table("projects"), lambda operations: isinstance(operations[0], Replace))

    results = await saving.save(in_process(saving.storage, table=table))

    assert [r.status for r in results] == [Saved.SAVED, Saved.SAVED]
    assert await saving.accepted() == [1, 1]


async def test_our_own_write_is_recognized_after_someone_else_wrote_the_page(saving: Saving) -> None:
    """The answer is lost, another reviewer writes the same page, and only then the repeat arrives."""
    inner = saving.storage.table("projects")
    other = in_process(saving.storage)

    class Slow(Repeating):
        @override
        async def commit(
            self, partition: str, operations: Sequence[Operation], *, at_once: bool = False
        ) -> list[str]:
            if not isinstance(operations[0], Replace):
                return await inner.commit(partition, operations)
            await inner.commit(partition, operations)
            await other.label(ONE, "Other")
            return await inner.commit(partition, operations)

    results = await saving.save(in_process(saving.storage, table=Slow(inner)))

    assert [r.status for r in results] == [Saved.SAVED, Saved.SAVED]
    document = await other.document(ONE)
    assert document is not None
    assert document.labels is not None
    assert document.labels.categories == ("Other",)
    history = await other.container.documents.history("p", document.id)
    assert [change.entry.action for change in history] == ["labelsSet", "decided"]


async def test_the_same_revision_again_answers_the_same_and_writes_nothing(saving: Saving) -> None:
    app = in_process(saving.storage)
    first = await saving.save(app)
    before = await app.rows()

    again = await saving.save(app)

    assert [(r.status, r.document) for r in again] == [(r.status, r.document) for r in first]
    assert await app.rows() == before


async def test_a_save_costs_two_calls_and_one_on_a_page_that_is_remembered(saving: Saving) -> None:
    app = in_process(saving.storage)
    await app.container.projects.get("p")  # warm: the project is known
    for calls in ({("table", "get"): 1, ("table", "commit"): 1}, {("table", "commit"): 1}):
        before = saving.storage.counter.snapshot()

        await app.label("~Refund.txt", "Refund")

        assert saving.storage.counter.since(before) == calls


async def test_a_writer_that_rests_on_an_old_project_row_is_refused_by_the_page(saving: Saving) -> None:
    writer, locker = in_process(saving.storage), in_process(saving.storage)
    await writer.label("~Refund.txt", "Refund")  # knows the project as it is now
    await locker.container.stores.fence.lock("p", "saga", "Labels are moving.", 7)

    with pytest.raises(LabelingLocked) as refused:
        await saving.save(writer)

    assert refused.value.message == "Labels are moving."
    assert refused.value.retry_after == 7
    assert await saving.accepted() == [0, 0]
    await locker.container.stores.fence.unlock("p", "saga")
    assert [r.status for r in await saving.save(writer)] == [Saved.SAVED, Saved.SAVED]


async def test_a_lock_between_read_and_write_wins(saving: Saving) -> None:
    inner = saving.storage.table("projects")
    locker = in_process(saving.storage)
    locked = False

    class Between(Repeating):
        @override
        async def commit(
            self, partition: str, operations: Sequence[Operation], *, at_once: bool = False
        ) -> list[str]:
            nonlocal locked
            if not locked:
                locked = True
                await locker.container.stores.fence.lock("p", "saga", "Labels are moving.")
            return await inner.commit(partition, operations)

    with pytest.raises(LabelingLocked):
        await saving.save(in_process(saving.storage, table=Between(inner)))

    assert locked
    assert await saving.accepted() == [0, 0]


async def test_a_late_step_of_an_old_lock_shuts_nothing(saving: Saving) -> None:
    app = in_process(saving.storage)
    fence, projects = app.container.stores.fence, app.container.stores.projects
    project = await fence.lock("p", "saga", "Labels are moving.")
    await fence.unlock("p", "saga")

    await projects.raise_fence(project)  # a step that was slow to come

    assert [r.status for r in await saving.save(app)] == [Saved.SAVED, Saved.SAVED]


async def test_a_page_that_others_write_all_the_time_is_given_up_with_a_reason(saving: Saving) -> None:
    inner = saving.storage.table("projects")

    class Busy(Repeating):
        @override
        async def commit(
            self, partition: str, operations: Sequence[Operation], *, at_once: bool = False
        ) -> list[str]:
            if isinstance(operations[0], Replace):
                touch = UpsertMerge(operations[0].key, {"g15": 0})
                await inner.commit(partition, [touch])
            return await inner.commit(partition, operations)

    with pytest.raises(Unavailable, match="Too many callers"):
        await saving.save(in_process(saving.storage, table=Busy(inner)))

    assert await saving.accepted() == [0, 0]


async def test_documents_too_large_for_a_row_spill_and_come_back() -> None:
    """1,600 spans a document and 60 documents: far over a row, and over a transaction."""
    storage = MemoryStorage()
    app = in_process(storage)
    from shared.domain.labels import EntityLabel, Labels, Region
    from shared.domain.names import ProjectKind

    await app.create(ProjectKind.ENTITIES)
    text = "".join(chr(0x4E00 + n % 9000) for n in range(120_000))
    await app.upload({"a.txt": text})
    await app.drain()
    spans = tuple(EntityLabel(f"C{n % 150}", n * 3, 1 + n % 3) for n in range(39_000))
    labels = Labels(regions=(Region(0, 120_000, spans),))

    await app.container.documents.set_labels("p", document_id("a.txt"), ANY_VERSION, labels, "me")

    fresh = in_process(storage)
    document = await fresh.document("a.txt")
    assert document is not None
    assert document.labels == labels
