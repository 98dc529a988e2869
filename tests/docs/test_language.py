"""Plain American English in code, messages and documents: words that this project once had and no longer uses."""

import re

import pytest

from tests.docs.sources import lines_with

#: Phrase to what is said instead.
PHRASES = {
    r"(?i)\bfor ever\b": "permanently, indefinitely",
    r"(?<!there )\bis none\b": "does not exist, is not a ...",
    r"(?i)brings? back (?:what died|work)|\bwhat died\b": "restart stalled work",
    r"(?i)\b(?:take|takes|taken|took) (?:it |them |this |that )?back\b": "undo",
    r"(?i)\btold\b(?! apart)": "reported",
    r"(?i)\bmend(?:s|ed|ing)?\b": "fix, repair",
    r"(?i)\bnames? of today\b": "current name",
    r"(?i)\bwithout a word\b": "silently",
    r"(?i)\bthe house\b|\bhouse rules\b": "rules",
    r"(?i)\bfront door\b": "entry point",
    r"(?i)\bfarewell\b": "disconnect request",
    r"(?i)\b(?:in-memory|the) twin\b": "in-memory storage",
    r"(?i)\bblanks\b": "spaces, whitespace",
    r"(?i)\bthe gate\b|\bshut gate\b": "write fence",
}
BRITISH = (
    r"colour|behaviour|neighbour|favour|honour|analyse|catalogue|\bcentre\b|\blicence\b|modelling|whilst"
    r"|labell(?:ed|ing)(?!by)|artefact(?!\")"  # the stored key keeps its spelling
    r"|(?:author|summar|serial|recogn|normal|organ|initial|minim|maxim|optim)is(?:e|es|ed|er|ing|ation)\b"
)
#: They contain the phrases themselves.
EXCEPTIONS = {"tests/docs/test_language.py"}


@pytest.mark.parametrize("phrase", PHRASES)
def test_our_former_dialect_is_not_used(phrase):
    found = list(lines_with(re.compile(phrase), EXCEPTIONS))
    assert not found, f"say: {PHRASES[phrase]}"


def test_our_former_dialect_is_in_no_name_of_a_function():
    names = [
        (place, name.replace("_", " ")) for place, name in lines_with(re.compile(r"\bdef \w+"), EXCEPTIONS)
    ]
    found = [(place, name) for place, name in names if any(re.search(phrase, name) for phrase in PHRASES)]
    assert found == []


def test_the_spelling_is_american():
    assert not list(lines_with(re.compile(BRITISH, re.IGNORECASE), EXCEPTIONS))
