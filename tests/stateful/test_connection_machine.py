"""Random lives of three projects and three AML projects against a model, with crashes and concurrent callers.

After each step: at most one project an AML project and the reverse; never both studios writable; no tombstone
undone; no label lost.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from shared.connection.binding import Binding
from shared.connection.service import ConnectionService
from shared.connection.state import Connection, Saga, State
from shared.domain.errors import LabelbridgeError, LabelingLocked
from tests.stateful.connection_world import AML, LS, Storage, World, new_job
from tests.support.storage.faults import Crash, Faults, crash_at
from tests.support.storage.memory import FULL_PAGES, MemoryStorage

PROJECTS, NAMES, DOCUMENTS = ("p", "q"), ("one", "ONE", "two", "three"), ("a.txt", "b.txt")
projects, names = st.sampled_from(PROJECTS), st.sampled_from(NAMES)
documents, classes = st.sampled_from(DOCUMENTS), st.sampled_from(["A", "B"])
crashes = st.one_of(
    st.none(), st.none(), st.none(), st.tuples(st.integers(0, 60), st.sampled_from(["before", "after"]))
)

type Act = Callable[[ConnectionService], Awaitable[object]]


class Connections(RuleBasedStateMachine):
    storage: Storage

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.ours: dict[str, dict[str, str]] = {name: {} for name in PROJECTS}
        self.files: dict[str, dict[str, str]] = {}
        self.seen_tombstones: set[str] = set()
        self.saga: dict[str, Saga | None] = dict.fromkeys(PROJECTS)

    def run(self, work: Awaitable[Any]) -> Any:
        async def awaited() -> Any:
            return await work

        return self.runner.run(awaited())

    @initialize()
    def begin(self) -> None:
        self.world = World(self.storage)
        self.run(self.world.prepare())
        for name in PROJECTS:
            self.run(self.world.project(name, documents=DOCUMENTS, pages=2))

    def teardown(self) -> None:
        self.runner.close()

    # What callers do

    def run_command(self, name: str, crash: tuple[int, Any] | None, act: Act) -> None:
        """Command it in a process that dies where `crash` says; else bring it to rest."""
        process = self.world.start(Faults(crash_at(*crash) if crash else None))
        try:
            self.run(act(process.service))
            if crash is None:
                self.run(self.world.drive(name))
        except Crash:
            self.world.start()
            return
        except LabelbridgeError:
            return
        finally:
            self.world.start()

    @precondition(lambda self: not all(self.connection(p).bound for p in PROJECTS))
    @rule(project=projects, name=names, crash=crashes)
    def connect(self, project: str, name: str, crash: tuple[int, Any] | None) -> None:
        self.run_command(
            project, crash, lambda s: s.connect(project, self.world.binding(name), "lead", new_job())
        )

    @precondition(lambda self: self.bound())
    @rule(data=st.data(), crash=crashes)
    def switch(self, data: st.DataObject, crash: tuple[int, Any] | None) -> None:
        project = data.draw(st.sampled_from(self.bound()))
        before = self.connection(project)
        to = AML if before.active is LS else LS
        self.run_command(project, crash, lambda s: s.switch(project, to, "lead", new_job()))
        after = self.connection(project)
        if (
            crash
            or after.step
            or before.step
            or after.error
            or before.active is after.active
            or not after.binding
        ):
            return
        ours = {k: v for k, v in self.run(self.world.labels(project)).items() if v is not None}
        if to is LS:
            assert ours == {**self.ours[project], **self.files.get(after.binding.name, {})}, "all imported"
        else:
            assert self.run(self.world.file(after.binding.name)) == ours == self.ours[project], (
                "all handed over"
            )

    @precondition(lambda self: self.bound())
    @rule(project=projects, crash=crashes)
    def sync(self, project: str, crash: tuple[int, Any] | None) -> None:
        self.run_command(project, crash, lambda s: s.sync(project, "lead", new_job()))

    @precondition(lambda self: self.bound())
    @rule(project=projects)
    def train(self, project: str) -> None:
        """Training on AML's labels imports them first."""
        self.run_command(project, None, lambda s: s.import_latest(project))

    @precondition(lambda self: self.bound())
    @rule(project=projects, crash=crashes, sure=st.integers(0, 3))
    def disconnect(self, project: str, crash: tuple[int, Any] | None, sure: int) -> None:
        if sure:
            return
        binding = self.connection(project).binding
        confirm = binding.name if binding else ""
        self.run_command(project, crash, lambda s: s.disconnect(project, confirm, True, "lead", new_job()))

    @precondition(lambda self: not self.bound())
    @rule(left=projects, right=projects, name=names, other=names)
    def two_at_once(self, left: str, right: str, name: str, other: str) -> None:
        async def both() -> None:
            first, second = self.world.start().service, self.world.start().service
            await asyncio.gather(
                first.connect(left, self.world.binding(name), "lead", new_job()),
                second.connect(right, self.world.binding(other), "lead", new_job()),
                return_exceptions=True,
            )

        self.run(both())

    @rule(project=projects)
    def resume(self, project: str) -> None:
        self.world.clock.pass_(21)
        self.run(self.world.app.service.sweep())
        self.run(self.world.drive(project))

    @rule(project=projects)
    @precondition(lambda self: any(not self.connection(name).bound for name in PROJECTS))
    def delete_and_make_again(self, project: str) -> None:
        found = self.run(self.world.app.stores.directory.read(project))
        if found.aml_project_path is not None or self.connection(project).step is not None:
            return
        self.run(self.world.app.stores.projects.remove(found, self.world.clock()))
        self.world.start()
        self.run(self.world.project(project, documents=DOCUMENTS, pages=2))
        self.ours[project] = {}
        self.saga[project] = None

    @rule(project=projects, document=documents, value=classes)
    def label_here(self, project: str, document: str, value: str) -> None:
        try:
            self.run(self.world.label(document, value, project))
        except LabelingLocked:
            return
        assert self.connection(project).active is LS
        self.ours[project][document] = value

    @precondition(lambda self: self.bound())
    @rule(data=st.data(), document=documents, value=classes)
    def label_there(self, data: st.DataObject, document: str, value: str) -> None:
        project = data.draw(st.sampled_from(self.bound()))
        binding = self.connection(project).binding
        if binding is not None and self.run(self.world.file_is_open(binding.name)):
            labels = {**self.run(self.world.file(binding.name)), document: value}
            assert self.run(self.world.write_file(labels, binding.name))
            self.files[binding.name] = labels

    # What must hold

    def bound(self) -> list[str]:
        return [name for name in PROJECTS if self.connection(name).bound]

    def connection(self, project: str) -> Connection:
        return self.run(self.world.app.service.get(project)).connection

    @invariant()
    def labels_are_where_they_belong(self) -> None:
        for project in PROJECTS:
            connection = self.connection(project)
            found = {k: v for k, v in self.run(self.world.labels(project)).items() if v is not None}
            before, saga = self.ours[project], self.saga[project]
            file = self.files.get(connection.binding.name, {}) if connection.binding else {}
            allowed = [before]
            if Saga.TO_LANGUAGE_STUDIO in {connection.saga, saga} or connection.state is not State.CONNECTED:
                assert all(found.get(d) in {before.get(d), file.get(d)} for d in DOCUMENTS), (project, found)
            else:
                allowed.append({**before, **file} if connection.active is LS else before)
                assert found in allowed, (project, found, before, file)
            self.ours[project] = found
            self.saga[project] = connection.saga
            if connection.state is State.CONNECTED and connection.active is AML and connection.binding:
                self.files[connection.binding.name] = self.run(self.world.file(connection.binding.name))

    @invariant()
    def pairs_are_whole(self) -> None:
        bindings: list[Binding] = []
        for project in PROJECTS:
            connection = self.connection(project)
            if connection.bound and connection.binding is not None:
                bindings.append(connection.binding)
        assert len({binding.key for binding in bindings}) == len(bindings)
        assert not {
            binding.key
            for binding in bindings
            if binding.key in self.seen_tombstones and not self.leaving(binding)
        }

    def leaving(self, binding: Binding) -> bool:
        states = [self.connection(name) for name in PROJECTS]
        return any(c.binding == binding and c.state is State.DISCONNECTING for c in states)

    @invariant()
    def never_both_writable(self) -> None:
        for project in PROJECTS:
            connection = self.connection(project)
            if connection.bound and connection.binding is not None:
                here = self.run(self.here_is_open(project))
                there = self.run(self.world.file_is_open(connection.binding.name))
                # While connecting an empty file may stand open before it is leased; then labels here are locked.
                assert not (here and there), connection

    async def here_is_open(self, project: str) -> bool:
        found = await self.world.app.stores.directory.read(project)
        pages = await self.world.app.stores.pages.load_range(found.scope, 0, found.pages)
        return not any(page.fenced(found.released) for page in pages.values())

    @invariant()
    def tombstones_stay(self) -> None:
        now = self.run(self.tombstones())
        assert self.seen_tombstones <= now
        self.seen_tombstones = now

    async def tombstones(self) -> set[str]:
        container = f"{self.world.prefix}-tombstones"
        if not await self.world.storage.blobs.container_exists(container):
            return set()
        return {blob.name async for page in self.world.storage.blobs.list(container) for blob in page}


def test_random_lives_in_memory() -> None:
    class OnTwin(Connections):
        def __init__(self) -> None:
            super().__init__()
            self.storage = MemoryStorage(page_sizes=FULL_PAGES)

    run_state_machine_as_test(
        OnTwin,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[
                HealthCheck.too_slow,
                HealthCheck.filter_too_much,
                HealthCheck.data_too_large,
            ],
        ),
    )


def test_random_lives_on_azurite(azurite: Any) -> None:
    class OnAzurite(Connections):
        def __init__(self) -> None:
            super().__init__()
            self.opened = azurite.storage()
            self.storage = self.run(self.opened.__aenter__())

        def teardown(self) -> None:
            self.run(self.opened.__aexit__(None, None, None))
            super().teardown()

    run_state_machine_as_test(
        OnAzurite,
        settings=settings(
            max_examples=4,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=[
                HealthCheck.too_slow,
                HealthCheck.filter_too_much,
                HealthCheck.data_too_large,
            ],
        ),
    )
