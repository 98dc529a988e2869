"""Projects as last read, and the one way to change a project row.

Writers of pages may rest on an old copy: the gate of the page makes them read again when it matters (section 5).
Readers take a fresh one.
"""

import asyncio
from collections.abc import Callable
from random import random
from time import monotonic

from shared.domain.errors import ProjectNotFound, Unavailable
from shared.domain.project import Project
from shared.storage.gateways.ports import RowChanged
from shared.storage.projects import ProjectStore

CONTAINER_SECONDS = 1.0
ATTEMPTS = 20
PAUSE_SECONDS = 0.02


class Handle:
    """One project: `current` as last read, `refresh` reads again. Raises ProjectNotFound when it is gone."""

    def __init__(self, directory: "Directory", project: Project) -> None:
        self._directory = directory
        self._project = project

    @property
    def current(self) -> Project:
        return self._project

    async def refresh(self) -> Project:
        self._project = await self._directory.read(self._project.name)
        return self._project


class Directory:
    def __init__(self, store: ProjectStore) -> None:
        self._store = store
        self._known: dict[str, Project] = {}
        self._containers: dict[str, tuple[float, asyncio.Future[list[tuple[str, str]]]]] = {}

    async def read(self, name: str) -> Project:
        try:
            project = await self._store.get(name)
        except ProjectNotFound:
            self._known.pop(name, None)
            raise
        self._known[name] = project
        return project

    async def reread(self, name: str) -> Project:
        """After a change of the row that another store wrote: its container may be another, too."""
        self._containers.clear()
        return await self.read(name)

    async def fresh(self, name: str) -> Handle:
        return Handle(self, await self.read(name))

    async def open(self, name: str) -> Handle:
        """For writers of pages: at no cost when the project is known."""
        known = self._known.get(name)
        return Handle(self, known if known is not None else await self.read(name))

    async def of_container(self, container: str) -> list[tuple[str, str]]:
        """Name and incarnation of a container's projects; the last second may be missing (reconcile heals).

        However many events ask at once, one question is under way.
        """
        at, asked = self._containers.get(container, (0.0, None))
        if asked is None or monotonic() - at > CONTAINER_SECONDS:
            asked = asyncio.ensure_future(self._store.of_container(container))
            self._containers[container] = (monotonic(), asked)
        try:
            return await asyncio.shield(asked)
        except BaseException:
            if self._containers.get(container, (0.0, None))[1] is asked:
                self._containers.pop(container)
            raise

    async def create(self, project: Project) -> Project:
        created = await self._store.create(project)
        self._known[created.name] = created
        self._containers.pop(created.container, None)
        return created

    async def update(self, name: str, change: Callable[[Project], Project]) -> Project:
        """Change the project row; `change` sees the current project and may refuse by raising."""
        for attempt in range(ATTEMPTS):
            await asyncio.sleep(attempt * PAUSE_SECONDS * random())  # so that racers do not meet again
            before = await self.read(name)
            after = change(before)
            if after == before:
                return before
            try:
                saved = await self._store.save(after, before)
            except RowChanged:
                landed = await self._store.find(name)
                if landed is None or landed != after:
                    continue
                saved = landed  # our own write, whose answer was lost
            self._known[name] = saved
            if before.container != after.container:
                self._containers.clear()
            return saved
        raise Unavailable("Too many callers change the project; try again.", retry_after=1)

    def forget(self, project: Project) -> None:
        self._known.pop(project.name, None)
        self._containers.pop(project.container, None)
