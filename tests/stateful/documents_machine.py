"""Random lives of a project's documents against a model: uploads, lost and doubled messages, jobs, reviews, training.

After each step the project holds exactly what the model says.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from shared.domain.document import ANY_VERSION, document_id
from shared.domain.errors import Conflict
from shared.domain.jobs import JobStatus
from shared.domain.names import QUEUES, DocumentStatus, ProjectKind, random_job_id
from shared.services.autolabel.service import AutolabelRequest
from shared.services.jobs.lifecycle import JobMessage
from shared.services.projects.categories import CategoryChange
from shared.services.review.bulk import BulkRequest
from shared.services.review.service import Saved
from shared.services.training.service import TrainRequest
from shared.storage.gateways.clients import StorageClients, StorageNames
from tests.stateful.documents_model import Doc, Mark, Marks, Model
from tests.stateful.documents_pictures import Keyed, labels_of, marks_of, pending_of
from tests.support.azurite import Azurite
from tests.support.lives import living
from tests.support.services import Clock, result_json
from tests.support.storage.memory import MemoryStorage

LOCATIONS = ("a.txt", "b.txt", "c/d.txt", "e.txt")
TEXTS = ("@A:90 then @B:40", "@B:75", "nothing at all", "@A:30 and @A:60 and @C:55", "😀 @C:80 @Unknown:99")
CATEGORIES = ("A", "B", "C")
locations, texts, categories = map(st.sampled_from, (LOCATIONS, TEXTS, CATEGORIES))


class Documents(RuleBasedStateMachine):
    kind: ClassVar[ProjectKind]
    azurite: ClassVar[Azurite | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clients: StorageClients | None = None
        self.bulk: list[str] = []
        self.trainings: list[str] = []
        #: The one that waits for its worker.
        self.training: str | None = None

    def run(self, work: Awaitable[Any]) -> Any:
        async def awaited() -> Any:
            return await work

        return self.runner.run(awaited())

    @initialize(drawn=st.lists(texts, min_size=len(LOCATIONS), max_size=len(LOCATIONS)))
    def begin(self, drawn: list[str]) -> None:
        """Documents that are registered, one of them labeled, and all but one of the categories that engines know."""
        self.model = Model(self.kind)
        self.run(self._begin())
        for location, text in zip(LOCATIONS, drawn, strict=True):
            self.upload(location, text, with_event=True)
        self.drain()
        self.run(
            self.app.container.categories.put(
                self.app.name, [CategoryChange(category) for category in CATEGORIES], "t"
            )
        )
        self.model.categories = set(CATEGORIES)
        self.run(self.app.set(LOCATIONS[-1], labels_of((), entities=False)))
        self.model.set_labels(LOCATIONS[-1], ())

    async def _begin(self) -> None:
        clock = Clock()
        storage: Any = MemoryStorage(clock=clock)
        if self.azurite is not None:
            prefix = f"t{random_job_id().replace('-', '')[:16]}"
            storage = self.clients = StorageClients(self.azurite.account, names=StorageNames(prefix))
            await storage.table("projects").create()
            for queue in QUEUES:
                await storage.queues.create(queue)
        self.app = living(storage, clock)
        self.app.documents = f"docs-{random_job_id()}"
        await self.app.create(self.kind, on_upload=False, pages=4)
        await self.app.drain()

    def teardown(self) -> None:
        if self.clients is not None:
            self.run(self.clients.close())
        self.runner.close()

    # The container

    @rule(location=locations, text=texts, with_event=st.booleans())
    def upload(self, location: str, text: str, with_event: bool) -> None:
        self.run(self.app.upload({location: text}, events=with_event))
        self.model.blobs[location] = text
        if with_event:
            self.model.announced.add(location)

    @precondition(lambda self: self.model.blobs)
    @rule(data=st.data(), with_event=st.booleans())
    def delete(self, data: st.DataObject, with_event: bool) -> None:
        location = data.draw(st.sampled_from(sorted(self.model.blobs)))
        self.run(self.app.blobs.delete(self.app.documents, location))
        del self.model.blobs[location]
        if with_event:
            self.run(self.app.container.uploads.seen(self.app.documents, location))
            self.model.announced.add(location)

    @rule()
    def deliver(self) -> None:
        self.drain()

    def drain(self) -> None:
        self.run(self.app.drain())
        self._end_training()
        self.model.deliver_events()

    def _end_training(self) -> None:
        """A training that ran has ended the suggestions (T4), unless nothing that it read is there any more."""
        if self.training is None:
            return
        job = self.run(self.app.container.training.get(self.app.name, self.training))
        self.training = None
        if job.status is JobStatus.SUCCEEDED:
            self.model.train()
            self.bulk.clear()
        else:
            assert (job.status, job.errors[0].target) == (JobStatus.FAILED, None)
            assert "that cannot be used" in job.errors[0].message

    @rule()
    def reconcile(self) -> None:
        self.drain()
        project = self.run(self.app.container.projects.get(self.app.name))
        message = JobMessage(
            project=self.app.name, incarnation=project.incarnation, kind="reconcile", job=random_job_id()
        )
        self.run(self.app.container.dispatcher.run(message))
        self.drain()
        self.model.reconcile()

    @precondition(lambda self: self.app.delivered)
    @rule(data=st.data())
    def deliver_again(self, data: st.DataObject) -> None:
        """A message that was handled comes once more, at any later time (A6): it may find only what waits anyway."""
        number = data.draw(st.integers(0, len(self.app.delivered) - 1))
        self.run(self.app.deliver(*self.app.delivered[number]))
        self.drain()

    # Jobs

    @rule(data=st.data())
    def autolabel(self, data: st.DataObject) -> None:
        named = data.draw(st.none() | st.sets(locations, min_size=1).map(sorted))
        self.drain()  # a job that waits for its fit would see what comes before it in the queue
        chosen = self.model.unlabeled() if named is None else [n for n in named if n in self.model.docs]
        request = AutolabelRequest(documents=tuple(map(document_id, named)) if named is not None else None)
        job_id = random_job_id()
        self.run(self.app.container.autolabel.start(self.app.name, request, job_id))
        self.run(self.app.drain())
        job = self.run(self.app.container.autolabel.get(self.app.name, job_id))
        if any(error.code == "FitFailed" for error in job.errors):
            # The fit reads the blobs: none of a labeled document is as it was registered, and no event came yet.
            assert self.model.readable == 0
        else:
            self.model.suggest(chosen)

    @rule(accept=st.booleans(), least=st.sampled_from([0, 55, 80]))
    def decide_in_bulk(self, accept: bool, least: int) -> None:
        job_id = random_job_id()
        request = BulkRequest(accept=accept, min_confidence=least)
        job = self.run(self.app.container.bulk.start(self.app.name, request, "lead", job_id))
        matched = self.model.decide_all(accept=accept, least=least, job=job_id)
        assert job.status is JobStatus.SUCCEEDED
        assert (result_json(job)["matched"], result_json(job)["changed"]) == (matched, matched)
        self.bulk.append(job_id)

    @precondition(lambda self: self.bulk)
    @rule(data=st.data())
    def undo_in_bulk(self, data: st.DataObject) -> None:
        """Once a training has succeeded it is refused."""
        job_id = data.draw(st.sampled_from(self.bulk))
        job = self.run(self.app.container.bulk.start_undo(self.app.name, job_id, "lead", random_job_id()))
        assert result_json(job)["undone"] == self.model.undo(lambda before: before.job == job_id)

    @precondition(lambda self: self.model.learnable >= 2)
    @rule()
    def train(self) -> None:
        """Suggestions stay until the worker, which comes with the next messages, has made the model."""
        label, job_id = f"m{len(self.trainings) % 5}", random_job_id()
        try:
            self.run(self.app.container.training.start(self.app.name, TrainRequest(label), job_id))
        except Conflict:
            assert self.run(self.app.container.projects.get(self.app.name)).training is not None
            return
        self.trainings.append(job_id)
        self.training = job_id
        self.agrees_with_the_model()

    @precondition(lambda self: self.training)
    @rule()
    def cancel_training(self) -> None:
        """A training that did not run costs nothing."""
        assert self.training
        job = self.run(self.app.container.training.cancel(self.app.name, self.training))
        assert job.status is JobStatus.CANCELLED
        self.training = None

    # People

    def known(self, data: st.DataObject, which: Any = lambda doc: True) -> tuple[str, Doc] | None:
        found = sorted(key for key, doc in self.model.docs.items() if which(doc))
        if not found:
            return None
        location = data.draw(st.sampled_from(found))
        return location, self.model.docs[location]

    @precondition(lambda self: self.model.docs)
    @rule(data=st.data(), category=categories, state=st.sampled_from(["one", "one", "nothing", "none"]))
    def set_labels(self, data: st.DataObject, category: str, state: str) -> None:
        chosen = self.known(data)
        assert chosen
        location, _ = chosen
        entities = self.kind is ProjectKind.ENTITIES
        mark = Mark(category, *((2, 3) if entities else ()))
        marks: Marks | None = {"one": (mark,), "nothing": (), "none": None}[state]
        try:
            self.run(self.app.set(location, labels_of(marks, entities)))
        except Conflict:  # spans are checked against the text, and the blob is gone
            assert entities
            assert marks is not None
            assert location not in self.model.blobs
            return
        self.model.set_labels(location, marks)
        self.sweep_cleared(location)

    def sweep_cleared(self, location: str) -> None:
        """Without labels and blob a document goes: the change asked for an inspection, and the sweep plans it."""
        doc = self.model.docs[location]
        if doc.missing and doc.labels is None:
            self.run(self.app.container.uploads.seen(self.app.documents, location))
            self.model.announced.add(location)

    @precondition(lambda self: any(doc.pending for doc in self.model.docs.values()))
    @rule(data=st.data())
    def decide(self, data: st.DataObject) -> None:
        chosen = self.known(data, lambda doc: doc.pending)
        assert chosen
        location, doc = chosen
        ways = st.lists(
            st.sampled_from(["accept", "reject", "leave"]),
            min_size=len(doc.pending),
            max_size=len(doc.pending),
        )
        decided = data.draw(ways.filter(lambda found: set(found) != {"leave"}))
        document = self.run(self.app.get(location))
        ids = [item.id for item in document.suggestions.items]
        accept, reject = (
            tuple(key for key, way in zip(ids, decided, strict=True) if way == wanted)
            for wanted in ("accept", "reject")
        )
        assert self.run(self.app.decide(location, accept=accept, reject=reject)) is Saved.SAVED
        pairs = list(zip(doc.pending, decided, strict=True))
        self.model.decide(
            doc,
            tuple(mark for mark, way in pairs if way == "accept"),
            tuple(mark for mark, way in pairs if way == "reject"),
        )

    @precondition(lambda self: self.model.docs)
    @rule(data=st.data(), decided=st.booleans())
    def undo(self, data: st.DataObject, decided: bool) -> None:
        """Mostly where there is something to undo."""
        decided = decided and any(doc.before for doc in self.model.docs.values())
        chosen = self.known(data, lambda doc: doc.before if decided else True)
        assert chosen
        location, doc = chosen
        work = self.app.container.documents.undo(
            self.app.name, document_id(location), ANY_VERSION, "reviewer"
        )
        if doc.before is None:
            with pytest.raises(Conflict):
                self.run(work)
            return
        self.run(work)
        last = doc.before
        self.model.undo(lambda before: before is last)
        self.sweep_cleared(location)

    # What must hold

    @invariant()
    def agrees_with_the_model(self) -> None:
        if not hasattr(self, "app"):
            return
        project = self.run(self.app.container.projects.get(self.app.name))
        self.model.trained = bool(self.run(self.app.container.trained_models.list(self.app.name)))
        found = self.run(self._found(project))
        assert found == {
            key: (
                doc.text_key,
                doc.labels if doc.labels is None else tuple(sorted(doc.labels)),
                doc.changed,
                doc.pending,
            )
            for key, doc in ((k, Keyed(d)) for k, d in self.model.docs.items())
        }
        counts = self.run(self.app.container.categories.statistics(self.app.name))
        assert counts.documents == len(self.model.docs)
        assert counts.statuses[DocumentStatus.AUTO_LABELED] == sum(
            bool(doc.pending) for doc in self.model.docs.values()
        )
        assert project.category_names == tuple(dict.fromkeys(project.category_names))
        assert set(project.category_names) == self.model.categories

    async def _found(self, project: Any) -> dict[str, Any]:
        pages = self.app.container.stores.pages.scan(project.scope)
        return {
            d.location: (
                d.length,
                marks_of(d.labels),
                d.content_changed,
                pending_of(d, project.generation),
            )
            async for page in pages
            for d in page.documents.values()
        }
