"""A renewal of a lease, a group of saves and any small write do not wait behind the transactions of many batches."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from shared.domain.jobs import Job, JobKind
from shared.storage.gateways.azure_tables import LARGE_AT_ONCE, LARGE_OF_PROJECT
from shared.storage.gateways.ports import UpsertReplace
from shared.storage.leases import Lease
from shared.storage.rows import pending_partition
from tests.contract.fake_service import Received, Scripted, fake_service
from tests.contract.table_answers import batch_answer, part

pytestmark = pytest.mark.usefixtures("client")
SECONDS = 30
NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOB = Job("job", JobKind.AUTOLABEL, "p", "incarnation", "edition", NOW, NOW)
ROWS = 97
ROWS_OF_SAVES = 90
PROJECT = ("incarnation", pending_partition("incarnation"))


@pytest.mark.parametrize(
    ("partitions", "limit"),
    [
        (PROJECT * 8, LARGE_OF_PROJECT),
        ([f"{number}-{name}" for number in range(4) for name in PROJECT * 2], LARGE_AT_ONCE),
        (["incarnation"] * 16 + ["a", "b", "c", "d"], LARGE_OF_PROJECT + 4),
    ],
    ids=["a project", "a process", "a project and others"],
)
async def test_a_renewal_and_saves_pass_the_large_transactions_of_other_batches(
    partitions: Sequence[str], limit: int
) -> None:
    """The service holds them back: what is sent after them has only so many before it."""
    under_way, most, begun, go_on = 0, 0, asyncio.Event(), asyncio.Event()

    async def answer(request: Received) -> Scripted:
        nonlocal under_way, most
        rows = request.body.count(b"PUT ")
        if rows == ROWS_OF_SAVES:
            return batch_answer(*[part("204 No Content", 'W/"2"')] * rows)
        if rows != ROWS:
            done = {"ETag": 'W/"2"'}
            one = not request.path.endswith("$batch")
            return Scripted(204, "", done) if one else batch_answer(part("204 No Content", 'W/"2"'))
        under_way, most = under_way + 1, max(most, under_way + 1)
        if under_way == limit:
            begun.set()
        await go_on.wait()
        under_way -= 1
        return batch_answer(*[part("204 No Content", 'W/"1"')] * ROWS)

    async with fake_service() as (clients, service):
        service.answer = answer
        table = clients.table("rows")
        operations = [UpsertReplace(f"page|{n}", {"v": 1}) for n in range(ROWS)]
        # A failure here cancels the batches: one that went on would outlive its client and its loop.
        async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as tasks:
            batches = [tasks.create_task(table.commit(name, operations)) for name in partitions]
            await begun.wait()
            await Lease(table, JOB, 0, "token", 'W/"1"').renew(NOW)
            await table.commit(partitions[0], operations[:ROWS_OF_SAVES], at_once=True)
            assert not any(batch.done() for batch in batches)
            assert len(service.received) == limit + 2, "others wait here, where nothing waits for them"
            go_on.set()
        assert [len(batch.result()) for batch in batches] == [ROWS] * len(partitions)

    assert most == limit
