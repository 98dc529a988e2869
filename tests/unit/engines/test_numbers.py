"""What fits and predictions hold only while they need it."""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from shared.domain.names import ProjectKind
from shared.engines import worker
from shared.engines.embedded import classifier_training, models, sentences, tagger_training
from shared.engines.embedded.artifact import unpack
from shared.engines.embedded.features import FeatureSpace
from shared.engines.embedded.numeric import Numbers
from tests.unit.engines import examples


def test_numbers_are_freed_without_the_collector():
    numbers = Numbers()
    assert [numbers[word] for word in ("a", "b", "a")] == [0, 1, 0]
    kept = weakref.ref(numbers)
    gc.disable()
    try:
        del numbers
        assert kept() is None
    finally:
        gc.enable()


def test_the_encoder_is_freed_until_it_is_needed():
    kept = weakref.ref(sentences._encoder())
    sentences.release()
    assert kept() is None
    assert sentences.available()


def test_only_a_process_of_its_own_frees_the_encoder_during_a_fit(monkeypatch):
    monkeypatch.setattr(classifier_training, "_MANY_DOCUMENTS", 10)
    labeled, kept = examples.single(20), weakref.ref(sentences._encoder())
    models.fit(ProjectKind.SINGLE_LABEL, labeled, (), 0)
    assert kept() is not None
    worker._fit(worker.FitRequest(ProjectKind.SINGLE_LABEL, labeled, (), 0))
    assert kept() is None


def test_a_fit_on_many_tokens_needs_the_encoder_only_at_its_beginning(monkeypatch):
    monkeypatch.setattr(sentences, "MEMORY", sentences.Memory())
    labeled = examples.entities(30)
    sentences._encoder()
    models.fit(ProjectKind.ENTITIES, labeled, (), 0)
    assert sentences._load.cache_info().currsize == 1

    sentences.MEMORY.forget()
    monkeypatch.setattr(tagger_training, "_MANY_TOKENS", 10)
    artifact = worker._fit(worker.FitRequest(ProjectKind.ENTITIES, labeled, (), 0))
    assert sentences._load.cache_info().currsize == 0
    assert "centers0" in unpack(artifact).arrays


def test_a_fit_on_many_documents_describes_a_few_at_a_time(monkeypatch):
    monkeypatch.setattr(classifier_training, "_MOST_SPANNING", 20)
    monkeypatch.setattr(classifier_training, "_CHUNK", 10)
    sizes: list[int] = []
    transform = FeatureSpace.transform

    def described(space: FeatureSpace, texts, vectors=None):
        sizes.append(len(texts))
        return transform(space, texts, vectors)

    monkeypatch.setattr(FeatureSpace, "transform", described)
    labeled = examples.single(80)
    models.fit(ProjectKind.SINGLE_LABEL, labeled, (), 0)
    categories = {category for example in labeled for category in example.categories}
    assert sum(sizes) >= 80 + len(categories)
    assert max(sizes) <= 20 + len(categories)


def test_threads_that_need_the_encoder_load_it_once():
    sentences.release()
    together = Barrier(2)

    def load(_: int):
        together.wait()
        return sentences._encoder()

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(load, range(2))
    assert first is second
