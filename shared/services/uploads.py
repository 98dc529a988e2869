"""Events of the storage account: a blob came, changed, moved or went. An event only says where to look."""

from time import monotonic

from shared.domain.ids import random_job_id
from shared.services.planning import Planner
from shared.services.stores import Stores


class UploadService:
    def __init__(self, stores: Stores, planner: Planner, window: int) -> None:
        self._stores = stores
        self._planner = planner
        self._window = window
        self._planned_at: dict[str, float] = {}

    async def seen(self, container: str, location: str) -> None:
        """Look at this blob soon, in every project of its container; other containers are none of our business."""
        if self._stores.names.is_ours(container):
            return
        for name, incarnation in await self._stores.directory.of_container(container):
            await self._stores.todo.add(incarnation, location)
            await self._plan(name, incarnation)

    async def _plan(self, name: str, incarnation: str) -> None:
        """One plan for all events of a window: those on their way see every row that is durable by then."""
        before = self._planned_at.get(incarnation, -1e9)
        if monotonic() - before < 0.9 * self._window:
            return
        self._planned_at[incarnation] = monotonic()
        try:
            await self._planner.plan_later(name, incarnation, random_job_id())
        except BaseException:
            self._planned_at[incarnation] = before
            raise
