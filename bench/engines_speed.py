"""What the embedded engine costs: `python -m bench.engines_speed [--documents 300 5000] [--kind single|entities]`.

Texts of 60 to 120 words from a vocabulary of 8,000 with a Zipf distribution, the same in every run. CPU seconds, not
wall time, so that other programs on the machine matter less. Each fit has a process of its own, as in the app, to
measure its memory.
"""

import argparse
import itertools
import random
import resource
import subprocess
import sys
import time
from collections.abc import Sequence

from shared import memory
from shared.domain.labels import Example, Span
from shared.domain.names import ProjectKind
from shared.engines.embedded import models, sentences

KINDS = {
    "single": ProjectKind.SINGLE_LABEL,
    "multi": ProjectKind.MULTI_LABEL,
    "entities": ProjectKind.ENTITIES,
}
CLASSES = 10
PREDICTED = 500
_AT_ONCE = 100


def vocabulary(size: int = 8_000) -> list[str]:
    draw = random.Random(0)
    words: set[str] = set()
    while len(words) < size:
        syllables = (
            draw.choice("bcdfghklmnprstvwz") + draw.choice("aeiou") for _ in range(draw.randint(1, 3))
        )
        words.add("".join(syllables) + draw.choice(["", "n", "r", "s", "t"]))
    return draw.sample(sorted(words), size)


def documents(count: int, seed: int) -> list[Example]:
    """A class shows in every twelfth word; three names in each document are entities."""
    draw, words = random.Random(seed), vocabulary()
    weights = list(itertools.accumulate(1 / (rank + 2) for rank in range(len(words))))
    topics = [random.Random(number).sample(words[50:], 40) for number in range(CLASSES)]
    names = [word.title() for word in words[-500:]]
    examples: list[Example] = []
    for number in range(count):
        text = draw.choices(words, cum_weights=weights, k=draw.randint(60, 120))
        for place in range(0, len(text), 12):
            text[place] = draw.choice(topics[number % CLASSES])
        places = draw.sample(range(len(text)), 3)
        for place in places:
            text[place] = draw.choice(names)
        starts = [0, *itertools.accumulate(len(word) + 1 for word in text)]
        spans = tuple(Span("name", starts[place], len(text[place])) for place in sorted(places))
        examples.append(Example(" ".join(text) + ".", "en", (f"class {number % CLASSES}",), spans))
    return examples


def measure(kind: ProjectKind, count: int) -> str:
    memory.return_large_blocks()
    sentences.use_one_thread()
    labeled = documents(count, 1)
    texts = [example.text for example in documents(PREDICTED, 2)]
    models.fit(kind, labeled[:20], [], 0)  # imports, and the encoder
    sentences.MEMORY.forget()
    started = time.process_time()
    artifact = models.fit(kind, labeled, [], 0, alone=True)
    fitted = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sentences.available()  # loads it, if the fit released it
    model, _ = models.load(artifact)
    new, seen = _rate(model, texts), _rate(model, texts)
    return f"{count:>10,}{fitted:>14.1f}{peak:>12.0f}{new:>14.0f}{seen:>15.0f}"


def _rate(model: models.Predictor, texts: Sequence[str]) -> float:
    started = time.process_time()
    for begin in range(0, len(texts), _AT_ONCE):
        model.predict(texts[begin : begin + _AT_ONCE])
    return len(texts) / (time.process_time() - started)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.engines_speed", description=__doc__)
    parser.add_argument("--documents", nargs="+", type=int, default=[300, 5_000])
    parser.add_argument("--kind", choices=list(KINDS), default="single")
    arguments = parser.parse_args()
    if len(arguments.documents) == 1:
        print(measure(KINDS[arguments.kind], arguments.documents[0]))
        return
    print(
        f"{'documents':>10}{'fit CPU s':>14}{'peak MiB':>12}{'new texts/s':>14}{'seen texts/s':>15}",
        flush=True,
    )
    for count in arguments.documents:
        command = [
            sys.executable,
            "-m",
            "bench.engines_speed",
            "--kind",
            arguments.kind,
            "--documents",
            str(count),
        ]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
