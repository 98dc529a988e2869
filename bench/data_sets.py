"""The labeled data sets beside the project (`../shared/data`). Their texts stay there."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.domain.labels import Example, Span
from shared.domain.names import ProjectKind

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data"

KINDS = {
    "banking20": ProjectKind.SINGLE_LABEL,
    "smsspam": ProjectKind.SINGLE_LABEL,
    "reuters12": ProjectKind.MULTI_LABEL,
    "nlupp": ProjectKind.MULTI_LABEL,
    "bc5cdr": ProjectKind.ENTITIES,
    "germeval14": ProjectKind.ENTITIES,
    "wnut17": ProjectKind.ENTITIES,
}


@dataclass(frozen=True, slots=True)
class DataSet:
    name: str
    kind: ProjectKind
    train: Sequence[Example]
    test: Sequence[Example]

    def sample(self, size: int, seed: int) -> tuple[list[Example], list[str]]:
        """This many random labeled documents, and the texts of the others."""
        shuffled = random.Random(f"{self.name} {seed}").sample(self.train, len(self.train))
        return shuffled[:size], [example.text for example in shuffled[size:]]

    def held_out(self, most: int = 500) -> list[Example]:
        """The same test documents in every run."""
        return random.Random(self.name).sample(self.test, min(most, len(self.test)))


def is_here(name: str) -> bool:
    return _file(name).is_file()


def read(name: str) -> DataSet:
    """Raises FileNotFoundError."""
    with _file(name).open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    examples = {"train": [], "test": []}
    for row in rows:
        categories = row["classes"] if "classes" in row else [row["class"]] if "class" in row else []
        spans = [Span(e["category"], e["offset"], e["length"]) for e in row.get("entities", [])]
        example = Example(row["text"], row["language"], tuple(categories), tuple(spans))
        examples[row["split"]].append(example)
    return DataSet(name, KINDS[name], examples["train"], examples["test"])


def _file(name: str) -> Path:
    return FOLDER / f"{name}.jsonl"
