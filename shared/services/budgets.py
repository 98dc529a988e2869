"""Monthly budgets of engines in text records: reserved when a job is planned, settled when it ends (rule A7)."""

from collections.abc import Mapping

from shared.domain.errors import QuotaExceeded
from shared.domain.jobs import Job
from shared.services.stores import Stores
from shared.storage.gateways.ports import Operation
from shared.storage.usage import month_of


class BudgetService:
    """`limits`: text records a month and project, by engine; an engine that is not named has no limit."""

    def __init__(self, stores: Stores, limits: Mapping[str, int]) -> None:
        self._stores = stores
        self._limits = limits

    def applies(self, engine: str) -> bool:
        return engine in self._limits

    async def reserve(
        self, incarnation: str, engine: str, records: int
    ) -> tuple[dict[str, object], Operation]:
        """Parameters for the job, and what to commit with it. Raises QuotaExceeded."""
        month = month_of(self._stores.clock())
        usage = await self._stores.usage.read(incarnation, engine, month)
        limit, left = self._limits[engine], self._limits[engine] - usage.used - usage.reserved
        if records > left:
            raise QuotaExceeded(
                f"The job needs {records:,} text records; {max(left, 0):,} of the {limit:,} that the engine '{engine}' "
                f"may take in {month} are left (setting ENGINE_BUDGETS).",
                target="engine",
            )
        return {"reserved": records, "month": month}, usage.reserve(records).operation()

    async def settle(self, job: Job, used: int) -> list[Operation]:
        """What to commit with the end of a job that had reserved."""
        reserved = job.parameters.get("reserved")
        if reserved is None:
            return []
        engine, month = job.parameters["engine"], job.parameters["month"]
        usage = await self._stores.usage.read(job.incarnation, engine, month)
        return [usage.settle(reserved, used).operation()]
