"""Training: which labeled documents train a model and which test it (rule T5), and the result.

`percentage` splits the documents of the Train set; those of the Test set are used for neither. The split
depends on the documents and the seed, not on the order in which they come, and keeps the categories' shares.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from shared.domain.labels import Labels
from shared.domain.names import Dataset, ProjectKind
from shared.domain.text import why_not_a_document

UNLABELED = ""
#: What a training learns from, and what a model is tested with: memory and time stay within those of one instance.
MAX_TRAINED, MAX_TESTED = 5_000, 5_000


class SplitKind(StrEnum):
    """Azure's `evaluationOptions.kind`."""

    PERCENTAGE = "percentage"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class SplitOptions:
    """`testing` is the percentage of the Train set that tests, 1 to 99; a manual split ignores it."""

    kind: SplitKind = SplitKind.PERCENTAGE
    testing: int = 20

    def uses(self, dataset: Dataset) -> bool:
        """Whether documents of this set train or test."""
        return dataset is Dataset.TRAIN or self.kind is SplitKind.MANUAL


@dataclass(frozen=True, slots=True)
class EvaluationSplit:
    """Azure's `evaluationOptions`."""

    kind: SplitKind
    training_split_percentage: int | None = None
    testing_split_percentage: int | None = None

    @classmethod
    def of(cls, split: SplitOptions) -> "EvaluationSplit":
        if split.kind is SplitKind.MANUAL:
            return cls(split.kind)
        return cls(split.kind, 100 - split.testing, split.testing)


@dataclass(frozen=True, slots=True)
class SplitDocument:
    """The properties of a labeled document that matter for the split. "Labeled with nothing" is labeled too (rule
    D6).
    """

    id: str
    dataset: Dataset
    labels: Labels
    #: It tests in a percentage split: decided when all documents were known, of which these are a sample.
    tests: bool = False


@dataclass(frozen=True, slots=True)
class Split:
    """Ids of documents, each list sorted. `unused` are those of the Test set in a percentage split."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    unused: tuple[str, ...] = ()


def split(documents: Iterable[SplitDocument], options: SplitOptions, seed: int = 0) -> Split:
    """Divides labeled documents. A percentage split of two or more has one at least on each side."""
    ordered = sorted(documents, key=lambda document: document.id)
    train_set = [document for document in ordered if document.dataset is Dataset.TRAIN]
    test_set = [document.id for document in ordered if document.dataset is Dataset.TEST]
    if options.kind is SplitKind.MANUAL:
        return Split(tuple(document.id for document in train_set), tuple(test_set))
    decided = frozenset(document.id for document in train_set if document.tests)
    test = decided or _choose_test(train_set, options.testing, seed)
    train = tuple(document.id for document in train_set if document.id not in test)
    return Split(train, tuple(sorted(test)), tuple(test_set))


def sample(documents: Sequence[SplitDocument], options: SplitOptions, seed: int = 0) -> Split | None:
    """What trains and tests in a large project, a part of each; None: all documents can be used."""
    parts = split(documents, options, seed)
    trained, tested = len(parts.train), len(parts.test)
    if options.kind is SplitKind.MANUAL:
        most, fits = (MAX_TRAINED, MAX_TESTED), trained <= MAX_TRAINED and tested <= MAX_TESTED
    else:
        whole = min(100 * MAX_TRAINED // (100 - options.testing), 100 * MAX_TESTED // options.testing)
        tests = tests_of(whole, options.testing)
        most, fits = (whole - tests, tests), trained + tested <= whole
    if fits:
        return None
    known = {document.id: document for document in documents}
    train = _sampled([known[key] for key in parts.train], most[0], seed, most[0] // 2)
    test = _sampled([known[key] for key in parts.test], most[1], seed, 0)
    return Split(tuple(sorted(train)), tuple(sorted(test)), parts.unused)


def _sampled(documents: Sequence[SplitDocument], most: int, seed: int, shared: int) -> frozenset[str]:
    """At most so many: `shared` of them are shared out equally to the categories, which lets rare ones have all of
    theirs; the others are a systematic sample of what is left, in which each category has its share.
    """
    if len(documents) <= most:
        return frozenset(document.id for document in documents)
    strata = _strata(documents)
    each = shared // len(set(strata.values()))
    taken, rest, counts = list[str](), list[str](), Counter[str]()
    for key in sorted(strata, key=lambda key: (strata[key], _rank(seed, key))):
        counts[strata[key]] += 1
        (taken if counts[strata[key]] <= each else rest).append(key)
    wanted = most - len(taken)
    return frozenset((*taken, *(key for i, key in enumerate(rest) if _crosses(i, wanted, len(rest)))))


def _choose_test(documents: Sequence[SplitDocument], percentage: int, seed: int) -> frozenset[str]:
    """A systematic sample: every n-th document of a list sorted by category, so that each gives its share.

    A category's only document is left to training as long as the others suffice.
    """
    wanted = tests_of(len(documents), percentage)
    if wanted < 1:
        return frozenset()
    strata = _strata(documents)
    sizes = Counter(strata.values())
    several = [document.id for document in documents if sizes[strata[document.id]] > 1]
    pool = several if len(several) > wanted else [document.id for document in documents]
    pool.sort(key=lambda key: (strata[key], _rank(seed, key)))
    return frozenset(key for index, key in enumerate(pool) if _crosses(index, wanted, len(pool)))


def tests_of(count: int, percentage: int) -> int:
    """How many of `count` Train documents are used for testing."""
    return max(min(max(round(count * percentage / 100), 1), count - 1), 0)


def _crosses(index: int, wanted: int, size: int) -> bool:
    """True for `wanted` of the indices 0 to `size` - 1, evenly spread, the first half a step in."""
    half = size // 2
    return ((index + 1) * wanted + half) // size > (index * wanted + half) // size


def _strata(documents: Sequence[SplitDocument]) -> dict[str, str]:
    """The rarest category of each document, which is the one that a split could lose; "" for none."""
    counts = Counter(name for document in documents for name in set(document.labels.used_categories()))
    return {
        document.id: min(
            set(document.labels.used_categories()), key=lambda name: (counts[name], name), default=UNLABELED
        )
        for document in documents
    }


def _rank(seed: int, key: str) -> bytes:
    return hashlib.sha256(f"{seed}|{key}".encode()).digest()


#: Names of documents in a message, and in the result of a job.
NAMED, LISTED = 10, 100


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What a training or an evaluation did not use for one reason: `count` labeled documents, or entities in them.

    `reason` for people; `locations`: the first 100 documents by name, of `documents` in all.
    """

    code: str
    reason: str
    count: int
    documents: int
    locations: tuple[str, ...]
    entities: bool = False

    @property
    def message(self) -> str:
        """For people, with up to ten names."""
        what = "Entities" if self.entities else "Labeled documents"
        names, more = self.locations[:NAMED], self.documents - NAMED
        listed = ": " + ", ".join(names) + (f" and {more:,} more" if more > 0 else "") if names else ""
        return f"{what} that were left out: {self.count:,} ({self.reason}){listed}."


def left_out(unused: Mapping[str, str]) -> tuple[LeftOut, ...]:
    """Labeled documents that cannot be used, by their reasons; `unused`: the code of the reason by location."""
    by_code: dict[str, list[str]] = {}
    for location, code in sorted(unused.items()):
        by_code.setdefault(code, []).append(location)
    return tuple(
        LeftOut(code, why_not_a_document(code), len(found), len(found), tuple(found[:LISTED]))
        for code, found in sorted(by_code.items())
    )


def entities_left_out(outside: Mapping[str, int]) -> tuple[LeftOut, ...]:
    """Entities that do not fit their texts; `outside`: how many by location."""
    found = sorted(location for location, count in outside.items() if count)
    reason = "they do not lie within the text, or end inside a character"
    made = LeftOut(
        "EntitiesOutsideText", reason, sum(outside.values()), len(found), tuple(found[:LISTED]), True
    )
    return (made,) if found else ()


MAX_MODELS = 10


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """`artifact`, `summary` and `results` name blobs of our container; `seconds` is how long the training took.

    `kind` is that of the project when it was trained; None in rows written before that was stored.
    """

    label: str
    model_id: str
    engine: str
    trained: datetime
    seconds: int
    artifact: str
    summary: str
    results: str
    split: SplitOptions
    kind: ProjectKind | None = None
    #: How often categories had been renamed or removed when its labels were read: what its predictions are called.
    edits: int = 0
    etag: str = field(default="", compare=False)

    def fits(self, kind: ProjectKind) -> bool:
        """Whether a project of this kind can use it: an import may have changed the project's kind since."""
        return self.kind is None or self.kind is kind

    def other_kind(self, kind: ProjectKind) -> str:
        """The message for a caller who requests the model for a project of this kind, which differs from its own."""
        return (
            f"The model '{self.label}' was trained for a project of kind {self.kind}; the project's kind "
            f"is now {kind}. Train the model again, or delete it."
        )

    @property
    def blobs(self) -> tuple[str, ...]:
        return self.artifact, self.summary, self.results


@dataclass(frozen=True, slots=True)
class EvaluatedDocument:
    """One test document. `length` and all offsets count UTF-16 code units.

    The regions of `predicted` do not matter: its entities are compared inside the regions of `expected`, for
    only those were labeled. Where `expected` has no region, the whole document counts as one.
    """

    location: str
    language: str
    length: int
    expected: Labels
    predicted: Labels


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An evaluation as the API answers it: the summary, and one result per document, in Azure's JSON."""

    summary: dict[str, Any]
    results: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
