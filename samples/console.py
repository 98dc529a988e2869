"""The output of the demo: steps with the time they took, progress, tables. Bold only on a terminal."""

import os
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

WIDTH = 100


class Console:
    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._terminal = out.isatty() and os.environ.get("TERM") != "dumb"
        self._color = self._terminal and "NO_COLOR" not in os.environ
        self._steps = 0
        self._shown = ""

    def title(self, text: str) -> None:
        """Begin a part."""
        self._line(f"\n{self.bold(text)}\n{'=' * len(text)}")

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """One numbered step, and how long it took."""
        self._steps += 1
        self._line(f"\n{self.bold(f'{self._steps}. {text}')}")
        began = time.monotonic()
        yield
        self._line(f"   {self.dim(f'took {time.monotonic() - began:.1f} s')}")

    def say(self, text: str) -> None:
        """A paragraph below the step."""
        self._line(
            textwrap.fill(text, WIDTH, initial_indent="   ", subsequent_indent="   ", break_on_hyphens=False)
        )

    def show(self, text: str) -> None:
        """Lines below the step, unchanged."""
        self._line(textwrap.indent(text, "   "))

    def progress(self, text: str) -> None:
        """Progress: on a terminal one line that changes, elsewhere a line for each change."""
        if text == self._shown:
            return
        self._shown = text
        if self._terminal:
            self._out.write(f"\r\x1b[K   {text}")
            self._out.flush()
        else:
            self._out.write(f"   {text}\n")
            self._out.flush()

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table with columns as wide as their content; lines that are too long are cut."""
        columns = zip(heads, *rows, strict=True)
        widths = [max(map(len, column)) for column in columns]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
        ]
        head = "  ".join(name.ljust(width) for name, width in zip(heads, widths, strict=True))
        self.show("\n".join(line.rstrip()[:WIDTH] for line in [head, "-" * min(len(head), WIDTH), *lines]))

    def bold(self, text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if self._color else text

    def dim(self, text: str) -> str:
        return f"\x1b[2m{text}\x1b[0m" if self._color else text

    def _line(self, text: str) -> None:
        if self._shown and self._terminal:
            self._out.write("\n")
        self._shown = ""
        self._out.write(f"{text}\n")
        self._out.flush()


def bar(confidence: float) -> str:
    """A confidence as a number and ten marks: `0.64 ######....`."""
    marks = round(confidence * 10)
    return f"{confidence:.2f} {'#' * marks}{'.' * (10 - marks)}"
