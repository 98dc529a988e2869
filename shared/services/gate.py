"""The gate: locks that hold at the very write of a page, and cuts (design section 5).

A lock has a number, and one holder at a time. It is laid on every page after the project row names it; from then on no
writer that rests on an older row can land. Opening is one write. Every function may be repeated after a crash.
"""

from collections.abc import Callable
from dataclasses import replace

from shared.domain.errors import LabelbridgeError
from shared.domain.project import Lock, Project
from shared.services.directory import Directory
from shared.storage.pages import PageStore, locked


class Gate:
    def __init__(self, directory: Directory, pages: PageStore) -> None:
        self._directory = directory
        self._pages = pages

    async def lock(
        self,
        name: str,
        holder: str,
        reason: str,
        retry_after: int | None = None,
    ) -> Project:
        """Shut the gate for `holder`.

        When it returns, all saves that were acknowledged can be read, and no other will be. Raises LabelingLocked when
        somebody else holds the lock.
        """

        def take(project: Project) -> Project:
            if project.lock is not None and project.lock.holder == holder:
                return project  # a repeat: the row was written, the pages perhaps not all
            if project.lock is not None:
                raise locked(project)
            number = project.locks + 1
            return replace(project, locks=number, lock=Lock(number, holder, reason, retry_after))

        project = await self._directory.update(name, take)
        await self._pages.shut(project.scope, project.locks)
        return project

    async def lock_again(self, name: str, holder: str) -> Project | None:
        """Go on with a lock whose holder may have died before it lay on every page; None: it is held no more."""
        project = await self._directory.read(name)
        if project.lock is None or project.lock.holder != holder:
            return None
        await self._pages.shut(project.scope, project.locks)
        return project

    async def unlock(
        self, name: str, holder: str, change: Callable[[Project], Project] = lambda project: project
    ) -> Project:
        """Open the gate; nothing happens when `holder` does not hold it (any more)."""

        def give(project: Project) -> Project:
            if project.lock is None or project.lock.holder != holder:
                return project
            return replace(change(project), opened=project.locks, lock=None)

        return await self._directory.update(name, give)

    async def cut(self, name: str, holder: str, change: Callable[[Project], Project]) -> Project:
        """Change the project row so that afterwards no write lands that rests on an older one.

        `change` must do nothing the second time; what it raises leaves the gate open. It is made as the gate opens:
        pages are shut under the old row, also those of an edition that the change turns away from. While somebody
        else holds the lock, theirs keeps saves out, once it lies on every page.
        """
        project = await self._directory.read(name)
        change(project)
        if project.lock is not None and project.lock.holder != holder:
            changed = await self._directory.update(name, change)
            await self._pages.shut(project.scope, project.locks)
            return changed
        await self.lock(name, holder, "The project is being changed; try again in a moment.", 1)
        try:
            return await self.unlock(name, holder, change)
        except LabelbridgeError:
            await self.unlock(name, holder)
            raise
