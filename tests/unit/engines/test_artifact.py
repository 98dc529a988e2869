import json
import zipfile
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.engines import ArtifactError
from shared.engines.embedded.artifact import Artifact, pack, unpack

CONTENT = Artifact(
    {"kind": "x", "words": ["a", "é", "😀", "\ud800"], "ratio": 0.5},
    {"matrix": np.arange(6, dtype="<f4").reshape(2, 3), "none": np.zeros((0, 4), dtype="<i4")},
)


def test_what_is_packed_comes_back():
    back = unpack(pack(CONTENT))
    assert back.meta == CONTENT.meta
    assert {name: array.tolist() for name, array in back.arrays.items()} == {
        "matrix": [[0, 1, 2], [3, 4, 5]],
        "none": [],
    }
    assert back.array("none", None, 4).dtype == np.int32


def test_equal_content_gives_equal_bytes():
    assert pack(CONTENT) == pack(Artifact(dict(CONTENT.meta), dict(CONTENT.arrays)))


@given(st.binary(max_size=300))
def test_any_other_bytes_are_refused(data: bytes):
    with pytest.raises(ArtifactError):
        unpack(data)


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_a_flipped_byte_is_refused_or_harmless(place: int, flip: int):
    data = bytearray(pack(CONTENT))
    data[place % len(data)] ^= flip
    try:
        back = unpack(bytes(data))
    except ArtifactError:
        return
    assert back.meta == CONTENT.meta
    assert back.arrays["matrix"].tobytes() == CONTENT.arrays["matrix"].tobytes()


@given(st.integers(min_value=0))
def test_a_cut_artifact_is_refused(length: int):
    data = pack(CONTENT)
    with pytest.raises(ArtifactError):
        unpack(data[: length % len(data)])


def _rewritten(**changes: object) -> bytes:
    """A well-formed zip with changes in `model.json`."""
    buffer = BytesIO()
    with zipfile.ZipFile(BytesIO(pack(CONTENT))) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(
                name,
                json.dumps(json.loads(data.decode("utf-8", "surrogatepass")) | changes)
                if name == "model.json"
                else data,
            )
    return buffer.getvalue()


def test_a_later_version_says_which_one_and_what_to_do():
    with pytest.raises(ArtifactError, match=r"format version 99; this engine reads 1\. Train it again"):
        unpack(_rewritten(version=99))


@pytest.mark.parametrize(
    "arrays",
    [
        {"matrix": ["|O", [2, 3]]},
        {"matrix": ["<f4", [2, 4]]},
        {"matrix": ["<f4", [10**9, 10**9]]},
        {"matrix": ["<f4", ["2", None]]},
        {"matrix": "<f4"},
        {"../matrix": ["<f4", [2, 3]]},
        [],
    ],
)
def test_arrays_that_do_not_match_their_bytes_are_refused(arrays: object):
    with pytest.raises(ArtifactError):
        unpack(_rewritten(arrays=arrays))


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shared.engines.embedded.artifact.MAX_MODEL_BYTES", 100)
    with pytest.raises(ArtifactError, match="too large"):
        unpack(pack(CONTENT))


def test_reading_checks_shapes_values_and_types():
    broken = Artifact(
        {"words": ["a", "a"], "mixed": [1], "flag": True, "nan": float("nan")},
        {"nan": np.array([np.nan], dtype="<f4")},
    )
    for read in (
        lambda: broken.strings("words"),
        lambda: broken.strings("mixed"),
        lambda: broken.strings("absent"),
        lambda: broken.number("flag"),
        lambda: broken.number("nan"),
        lambda: broken.array("nan", 1),
        lambda: broken.array("nan", 2),
        lambda: broken.array("absent", 1),
    ):
        with pytest.raises(ArtifactError):
            read()
