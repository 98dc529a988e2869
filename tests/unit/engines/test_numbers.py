"""What fits and predictions hold only while they need it."""

import gc
import weakref

from shared.engines.embedded import sentences
from shared.engines.embedded.numeric import Numbers


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
