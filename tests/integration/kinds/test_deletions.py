"""A project that is deleted and made again shares nothing with the old one, also for who knows only the old one."""

import pytest

from shared.domain.document import ANY_VERSION, document_id
from shared.domain.errors import DocumentNotFound, ProjectNotFound
from shared.domain.names import Dataset, random_job_id
from shared.services.review.documents import DocumentPatch
from tests.support.lives import Life, living
from tests.support.meanwhile import Meanwhile
from tests.support.services import Clock
from tests.support.storage.memory import MemoryStorage

TEXTS = {"a.txt": "One.", "b.txt": "Two."}


async def filled(app: Life) -> None:
    """A project with two documents, on few pages."""
    await app.create(on_upload=False, pages=8)
    await app.upload(TEXTS, events=False)
    await app.container.registering.scan("p", random_job_id())
    await app.drain()


async def save(app: Life) -> None:
    """Any version will do: no version keeps the write from an older project."""
    await app.container.documents.patch(
        "p", document_id("a.txt"), ANY_VERSION, DocumentPatch(dataset=Dataset.TEST), "tester"
    )


@pytest.mark.parametrize("purged", [True, False])
async def test_a_save_by_another_instance_lands_in_the_project_that_is_there(
    memory: MemoryStorage, clock: Clock, purged: bool
):
    first, second = living(memory, clock), living(memory, clock)
    await filled(first)
    await second.label("b.txt", "Refund")  # from now on it knows the project
    await first.container.projects.delete("p", "deletion")
    if purged:
        await first.container.maintenance.sweep()
    await filled(first)
    await save(second)
    assert (await first.get("a.txt")).dataset is Dataset.TEST
    assert (await first.get("b.txt")).labels is None


@pytest.mark.parametrize("purged", [True, False])
async def test_a_save_in_a_project_that_is_gone_is_not_acknowledged(
    memory: MemoryStorage, clock: Clock, purged: bool
):
    first, second = living(memory, clock), living(memory, clock)
    await filled(first)
    await second.label("b.txt", "Refund")
    await first.container.projects.delete("p", "deletion")
    if purged:
        await first.container.maintenance.sweep()
    with pytest.raises(ProjectNotFound):
        await save(second)
    await first.create(on_upload=False)
    with pytest.raises(DocumentNotFound):
        await save(second)


async def test_no_save_is_lost_whenever_the_project_is_made_again_during_it():
    number, acted = 0, True
    while acted:
        clock = Clock()
        memory = MemoryStorage(clock=clock)
        first = living(memory, clock)
        await filled(first)

        async def remake(app: Life = first) -> None:
            await app.container.projects.delete("p", "deletion")
            await filled(app)

        meanwhile = Meanwhile(None, remake)
        second = living(memory, clock, faults=meanwhile)
        await second.label("b.txt", "Refund")
        meanwhile.number = len(meanwhile.calls) + number
        await save(second)
        acted = meanwhile.done
        if any(call.operation == "commit" for call in meanwhile.calls[meanwhile.number :]):
            assert (await first.get("a.txt")).dataset is Dataset.TEST, number
        number += 1
    assert number > 2
