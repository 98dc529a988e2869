"""Second reviews: the sample, blindness, agreement, and what a lead makes of disagreements."""

from collections.abc import Sequence

import pytest

from shared.domain.document import ANY_VERSION, document_id, parse_version
from shared.domain.errors import Conflict, Forbidden, InvalidArgument, LabelingLocked, StaleDocument
from shared.domain.labels import Labels
from shared.services.projects.categories import CategoryChange
from shared.services.review.second import SampleRequest
from shared.wire.documents import etag
from tests.support.repeating import Repeating
from tests.support.services import App, Clock, in_process
from tests.support.storage.faults import Crash, Faults, crash_at
from tests.support.storage.memory import MemoryStorage

NAMES = [f"{n}.txt" for n in range(8)]


async def labeled(app: App, by: str = "Ana", names: Sequence[str] = NAMES) -> None:
    """Documents that one person labeled: the even ones Refund, the odd ones Login."""
    await app.create(on_upload=False)
    await app.upload(dict.fromkeys(names, "text"))
    await app.drain()
    for number, name in enumerate(names):
        await put(app, name, ("Refund", "Login")[number % 2], by)


async def put(app: App, name: str, category: str, by: str) -> None:
    labels = Labels(categories=(category,))
    await app.container.documents.set_labels("p", document_id(name), ANY_VERSION, labels, by)


async def sample(
    app: App, size: int = 4, reviewer: str = "Ben", number: str = "r", seed: int = 7
) -> list[str]:
    """Locations of the sample."""
    request = SampleRequest(reviewer, size=size, seed=seed)
    await app.container.second.create("p", request, "lead", number)
    _, items = await app.container.second.queue("p", number)
    return [item.location for item in items]


async def say(app: App, name: str, category: str, by: str = "Ben") -> None:
    labels = Labels(categories=(category,))
    await app.container.second.save("p", "r", document_id(name), labels, by)


async def categories(app: App, name: str) -> tuple[str, ...]:
    document = await app.document(name)
    assert document is not None
    assert document.labels is not None
    return document.labels.categories


async def test_a_seed_takes_the_same_sample_and_another_one_another(app: App) -> None:
    await labeled(app)
    first = await sample(app, number="r")
    assert len(set(first)) == 4
    assert await sample(app, number="s") == first
    others = [await sample(app, number=f"o{seed}", seed=seed) for seed in range(6)]
    assert any(set(other) != set(first) for other in others)


async def test_per_cent_is_rounded_up(app: App) -> None:
    await labeled(app)
    review = await app.container.second.create("p", SampleRequest("Ben", percent=30), "lead", "r")
    assert len(review.documents) == 3


async def test_nobody_reviews_what_they_labeled_themselves(app: App) -> None:
    await labeled(app)
    await put(app, NAMES[0], "Login", "Ben")
    await put(app, NAMES[0], "Refund", "Ana")
    assert set(await sample(app, size=8)) == set(NAMES) - {NAMES[0]}
    with pytest.raises(InvalidArgument) as refused:
        await sample(app, reviewer="Ana", number="s")
    assert refused.value.target == "reviewer"


async def test_too_many_documents_are_refused(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    await labeled(app)
    monkeypatch.setattr("shared.services.review.second.MAX_SAMPLE", 3)
    with pytest.raises(InvalidArgument) as refused:
        await app.container.second.create("p", SampleRequest("Ben", percent=50), "lead", "r")
    assert refused.value.target == "percent"


async def test_a_repeat_is_the_same_sample_and_changes_nothing(app: App) -> None:
    await labeled(app)
    first = await sample(app)
    await say(app, first[0], "Login")
    rows = await app.rows()
    assert await sample(app) == first
    await say(app, first[0], "Login")
    assert await app.rows() == rows


async def test_a_crash_at_any_call_leaves_a_sample_that_a_repeat_completes(
    storage: MemoryStorage, clock: Clock
) -> None:
    whole = Faults()
    app = in_process(storage, clock, table=whole.table(storage.table("projects")))
    await labeled(app)
    begun = len(whole.calls)
    expected = await sample(app)
    calls = len(whole.calls) - begun
    for number in range(calls):
        for moment in ("before", "after"):
            memory = MemoryStorage(clock=clock)
            await labeled(in_process(memory, clock))
            faults = Faults(crash_at(number, moment))
            dying = in_process(memory, clock, table=faults.table(memory.table("projects")))
            try:
                await sample(dying)
            except Crash:
                pass
            else:
                continue
            assert await sample(in_process(memory, clock)) == expected


async def test_the_second_person_reads_the_text_and_nothing_of_the_first(app: App) -> None:
    await labeled(app)
    [name, *_] = await sample(app)
    _, shown = await app.container.second.read("p", "r", document_id(name), "Ben")
    assert (shown.text, shown.own) == ("text", None)
    await say(app, name, "Login")
    _, shown = await app.container.second.read("p", "r", document_id(name), "Ben")
    assert shown.own == Labels(categories=("Login",))
    _, shown = await app.container.second.read("p", "r", document_id(name), "lead")
    assert shown.own is None
    for read in (app.container.second.summary, app.container.second.disagreements):
        with pytest.raises(Forbidden):
            await read("p", "r", "Ben")


async def test_the_labels_of_the_first_stay_until_they_are_resolved(app: App) -> None:
    await labeled(app)
    [name, *_] = await sample(app)
    before = await app.document(name)
    other = "Login" if await categories(app, name) == ("Refund",) else "Refund"
    await say(app, name, other)
    assert await app.document(name) == before


async def test_the_second_person_clears_their_labels(app: App) -> None:
    await labeled(app)
    [name, *_] = await sample(app)
    await say(app, name, "Login")
    await app.container.second.save("p", "r", document_id(name), None, "Ben")
    _, items = await app.container.second.queue("p", "r")
    assert [item.second for item in items if item.location == name] == [None]
    _, found = await app.container.second.summary("p", "r", "lead")
    assert found.reviewed == 0
    with pytest.raises(Forbidden):
        await app.container.second.save("p", "r", document_id(name), None, "Cid")


async def test_only_the_second_person_says_and_only_known_categories(app: App) -> None:
    await labeled(app)
    [name, *_] = await sample(app)
    with pytest.raises(Forbidden):
        await say(app, name, "Login", by="Cid")
    with pytest.raises(InvalidArgument):
        await say(app, name, "Unknown")


async def test_agreement_and_disagreements(app: App) -> None:
    await labeled(app)
    names = await sample(app, size=8)
    for number, name in enumerate(names):
        [first] = await categories(app, name)
        wrong = {"Refund": "Login", "Login": "Refund"}[first]
        await say(app, name, wrong if number == 0 else first)
    _, found = await app.container.second.summary("p", "r", "lead")
    assert (found.reviewed, found.agreement.agreed, found.disagreements, found.resolved) == (8, 7, 1, 0)
    # 7 of 8 observed; by chance 4/8 of one person's times 3/8 and 5/8 of the other's.
    assert found.agreement.kappa == pytest.approx((7 / 8 - 1 / 2) / (1 - 1 / 2))
    _, [(item, first, second)] = await app.container.second.disagreements("p", "r", "lead")
    assert (item.location, item.first_by) == (names[0], "Ana")
    assert first != second


async def test_a_lead_resolves_and_undoes_it(app: App) -> None:
    await labeled(app)
    [name, *_] = await sample(app)
    key = document_id(name)
    [first] = await categories(app, name)
    second = {"Refund": "Login", "Login": "Refund"}[first]
    await say(app, name, second)
    before = await app.document(name)
    assert before is not None
    version = parse_version(etag(before, 0))
    await app.container.second.resolve("p", "r", key, version, "second", "lead", "rev")
    assert await categories(app, name) == (second,)
    _, found = await app.container.second.summary("p", "r", "lead")
    assert (found.disagreements, found.resolved) == (1, 1)
    [latest, *_] = await app.container.documents.history("p", key)
    assert (latest.by, latest.entry.action) == ("lead", "labelsSet")
    with pytest.raises(Conflict):
        await say(app, name, first)
    with pytest.raises(StaleDocument):
        await app.container.second.resolve("p", "r", key, version, "first", "lead", "other")

    await app.container.second.reopen("p", "r", key, "lead", "undo")
    assert await categories(app, name) == (first,)
    _, found = await app.container.second.summary("p", "r", "lead")
    assert found.resolved == 0


async def test_a_resolution_has_categories_of_the_project_only(app: App) -> None:
    await labeled(app)
    [name, *_] = await sample(app)
    await say(app, name, "Refund")
    before = await categories(app, name)
    other = Labels(categories=("Brand new",))
    with pytest.raises(InvalidArgument, match="no category 'Brand new'"):
        await app.container.second.resolve("p", "r", document_id(name), ANY_VERSION, other, "lead", "rev")
    assert await categories(app, name) == before


async def test_what_was_changed_since_is_not_reopened(app: App) -> None:
    await labeled(app)
    [name, *_] = await sample(app)
    await say(app, name, "Login")
    await app.container.second.resolve("p", "r", document_id(name), ANY_VERSION, "second", "lead", "rev")
    await put(app, name, "Refund", "Ana")
    with pytest.raises(Conflict):
        await app.container.second.reopen("p", "r", document_id(name), "lead", "undo")


async def test_resolutions_wait_for_a_lock(app: App) -> None:
    await labeled(app)
    [name, *_] = await sample(app)
    await say(app, name, "Login")
    await app.container.stores.fence.lock("p", "test", "because")
    with pytest.raises(LabelingLocked):
        await app.container.second.resolve("p", "r", document_id(name), ANY_VERSION, "second", "lead", "rev")
    _, found = await app.container.second.summary("p", "r", "lead")
    assert found.resolved == 0


async def test_lost_answers_resolve_and_reopen_once(storage: MemoryStorage, clock: Clock) -> None:
    app = in_process(storage, clock, table=Repeating(storage.table("projects")))
    await labeled(app)
    [name, *_] = await sample(app)
    await say(app, name, "Login")
    for _ in range(2):
        await app.container.second.resolve("p", "r", document_id(name), ANY_VERSION, "second", "lead", "rev")
    for _ in range(2):
        await app.container.second.reopen("p", "r", document_id(name), "lead", "undo")
    changes = await app.container.documents.history("p", document_id(name))
    assert [change.entry.action for change in changes] == ["labelsUndone", "labelsSet", "labelsSet"]


async def test_a_crash_at_any_call_of_a_resolution_leaves_both_or_neither(
    storage: MemoryStorage, clock: Clock
) -> None:
    whole = Faults()
    app = in_process(storage, clock, table=whole.table(storage.table("projects")))
    await labeled(app)
    [name, *_] = await sample(app)
    [first] = await categories(app, name)
    second = {"Refund": "Login", "Login": "Refund"}[first]
    await say(app, name, second)
    begun = len(whole.calls)
    await app.container.second.resolve("p", "r", document_id(name), ANY_VERSION, "second", "lead", "rev")
    for number in range(len(whole.calls) - begun):
        for moment in ("before", "after"):
            memory = MemoryStorage(clock=clock)
            fresh = in_process(memory, clock)
            await labeled(fresh)
            await sample(fresh)
            await say(fresh, name, second)
            faults = Faults(crash_at(number, moment))
            dying = in_process(memory, clock, table=faults.table(memory.table("projects")))
            try:
                await dying.container.second.resolve(
                    "p", "r", document_id(name), ANY_VERSION, "second", "lead", "rev"
                )
            except Crash:
                pass
            else:
                continue
            _, found = await fresh.container.second.summary("p", "r", "lead")
            assert (found.resolved == 1) is (await categories(fresh, name) == (second,))
            await fresh.container.second.resolve(
                "p", "r", document_id(name), ANY_VERSION, "second", "lead", "rev"
            )
            assert await categories(fresh, name) == (second,)


async def test_labels_follow_the_renaming_of_their_category(app: App) -> None:
    await labeled(app)
    [name, *_] = await sample(app)
    [first] = await categories(app, name)
    await say(app, name, first)
    await app.container.categories.put("p", [CategoryChange("Renamed", None, first)], "lead")
    _, found = await app.container.second.summary("p", "r", "lead")
    assert (found.agreement.agreed, found.disagreements) == (1, 0)
    assert [c.category for c in found.agreement.categories] == ["Renamed"]


async def test_a_text_that_changed_is_left_out(app: App) -> None:
    await labeled(app)
    [name, *_] = await sample(app)
    await app.upload({name: "another text"})
    await app.drain()
    with pytest.raises(Conflict):
        await say(app, name, "Login")


async def test_it_goes_with_the_project(app: App, storage: MemoryStorage) -> None:
    await labeled(app)
    await sample(app)
    incarnation = (await app.container.projects.get("p")).incarnation
    assert [key for key in await app.rows() if key.startswith("second|")]
    await app.container.projects.delete("p", "deletion")
    await app.container.maintenance.sweep()
    assert await storage.table("projects").query(incarnation) == []
