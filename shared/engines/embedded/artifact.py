"""A model as one blob: a zip of `model.json` and raw arrays. No pickle; nothing in it is executed.

`model.json` holds the format version, the model's own JSON (`meta`) and the type and shape of each array. Every size
is checked when it is read, so untrusted bytes give either a model or an ArtifactError.
"""

import json
import math
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from shared.engines.base import ArtifactError

VERSION: Final = 1
MAX_MODEL_BYTES: Final = 512 * 1024 * 1024
"""The maximum size of all entries together, unpacked."""

_FORMAT: Final = "labelbridge-embedded"
_DTYPES: Final = frozenset({"<f2", "<f4", "<f8", "<i4"})
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a model stores: JSON and arrays."""

    meta: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]

    def array(self, name: str, *shape: int | None) -> NDArray[Any]:
        """The array, in this shape (None: any size). Raises ArtifactError."""
        array = self.arrays.get(name)
        if array is None:
            raise ArtifactError(f"The model has no array '{name}'.")
        fits = len(shape) == array.ndim and all(
            want in (None, have) for want, have in zip(shape, array.shape, strict=True)
        )
        if not fits:
            raise ArtifactError(f"The array '{name}' of the model has an unexpected shape.")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ArtifactError(f"The array '{name}' of the model contains a value that is not a number.")
        return array

    def strings(self, name: str) -> list[str]:
        """A list of distinct strings of `meta`. Raises ArtifactError."""
        value = self.meta.get(name)
        if not isinstance(value, list) or not all(isinstance(x, str) for x in cast("list[object]", value)):
            raise ArtifactError(f"The model has no list '{name}'.")
        strings = cast("list[str]", value)
        if len(set(strings)) != len(strings):
            raise ArtifactError(f"The list '{name}' of the model has duplicates.")
        return strings

    def number(self, name: str) -> float:
        """A finite number of `meta`. Raises ArtifactError."""
        value = self.meta.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ArtifactError(f"The model has no number '{name}'.")
        return float(value)


def pack(artifact: Artifact) -> bytes:
    """The blob; equal content gives equal bytes. Raises ValueError for a number that is not finite."""
    arrays = {name: np.ascontiguousarray(array) for name, array in artifact.arrays.items()}
    if broken := [n for n, a in arrays.items() if a.dtype.kind == "f" and not np.isfinite(a).all()]:
        raise ValueError(f"not finite: {', '.join(broken)}")
    head = {
        "format": _FORMAT,
        "version": VERSION,
        "meta": artifact.meta,
        "arrays": {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()},
    }
    entries = [
        ("model.json", json.dumps(head, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass"))
    ]
    entries += [(f"{name}.bin", array.tobytes()) for name, array in arrays.items()]
    return _zip(entries)


def unpack(data: bytes) -> Artifact:
    """The content of a blob. Raises ArtifactError if `pack` did not make it."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            _check_size(archive)
            head = json.loads(_read_entry(archive, "model.json").decode("utf-8", "surrogatepass"))
            _check_version(head)
            arrays = {name: _array(archive, name, *about) for name, about in head["arrays"].items()}
            return Artifact(dict(head["meta"]), arrays)
    except ArtifactError:
        raise
    except (
        zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError,  # the zip
        ValueError, TypeError, KeyError, AttributeError, OverflowError, MemoryError,  # what is in it
    ) as error:  # fmt: skip
        raise ArtifactError(
            f"These bytes are not a model of the embedded engine ({type(error).__name__})."
        ) from error


def _zip(entries: Iterable[tuple[str, bytes]]) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries:
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content, compresslevel=1)
    return buffer.getvalue()


def _check_size(archive: zipfile.ZipFile) -> None:
    if sum(entry.file_size for entry in archive.infolist()) > MAX_MODEL_BYTES:
        raise ArtifactError("The model is too large.")


def _check_version(head: Any) -> None:
    if not isinstance(head, dict) or cast("dict[str, Any]", head).get("format") != _FORMAT:
        raise ArtifactError("These bytes are not a model of the embedded engine.")
    version = cast("dict[str, Any]", head).get("version")
    if version != VERSION:
        raise ArtifactError(
            f"The model has format version {version!r}; this engine reads {VERSION}. Train it again."
        )


def _array(archive: zipfile.ZipFile, name: str, dtype: str, shape: list[int]) -> NDArray[Any]:
    if dtype not in _DTYPES:
        raise ArtifactError(f"The array '{name}' of the model has an unexpected type.")
    return np.frombuffer(_read_entry(archive, f"{name}.bin"), dtype=dtype).reshape(
        [int(size) for size in shape]
    )


def _read_entry(archive: zipfile.ZipFile, name: str) -> bytes:
    """An entry, which must have exactly the length in the directory."""
    info = archive.getinfo(name)
    with archive.open(info) as entry:
        content = entry.read(info.file_size + 1)
    if len(content) != info.file_size:
        raise ArtifactError("The model is incomplete.")
    return content
