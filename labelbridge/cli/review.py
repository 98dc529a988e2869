"""`labelbridge review`: suggestions one by one in the terminal, one key for each decision."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, cast

import typer
from rich.console import Console, Group, RenderableType
from rich.text import Text

from labelbridge.cli import session
from labelbridge.cli.keys import ESCAPE, single_keys
from labelbridge.cli.output import JsonOption, Output, counted, safe
from labelbridge.cli.session import ProjectOption
from labelbridge.client import ApiError, ProjectClient
from labelbridge.client.models import Decision, Document, Entity, Labels, Region, Suggestion
from labelbridge.formats.records import Field, Misfit, Offsets

HELP = "a accept  r reject  l relabel  A/R rest  s skip  f flag  u undo  m more text  q quit"
#: Keys of the categories in the list for `l`.
CHOICES = "123456789abcdefghijklmnopqrstuvwxyz"
#: Lines of the screen that are not text.
FRAME = 10
#: Characters of a note that are shown.
NOTE = 200
PAGE = 100
KEPT, ACCEPTED, REJECTED = "", "accept", "reject"


@dataclass
class Counts:
    """The totals of the session."""

    documents: int = 0
    accepted: int = 0
    rejected: int = 0
    relabeled: int = 0
    skipped: int = 0

    def add(self, decisions: "list[Choice]", sign: int) -> None:
        """Count the decisions on one document, or subtract them with a sign of -1."""
        self.documents += sign
        for decision in decisions:
            self.accepted += sign * (decision.verdict == ACCEPTED)
            self.relabeled += sign * bool(decision.category)
            self.rejected += sign * (decision.verdict == REJECTED and not decision.category)


@dataclass(frozen=True, slots=True)
class Choice:
    """The decision on one suggestion; `category` is the one it should have been."""

    verdict: str = KEPT
    category: str = ""


@dataclass
class Open:
    """The document on the screen: its text, and the decisions so far on its suggestions, in their order."""

    document: Document
    text: str
    choices: list[Choice] = field(default_factory=list[Choice])
    shift: int = 0
    note: str = ""

    @property
    def suggestions(self) -> list[Suggestion]:
        return sorted(
            self.document["suggestions"],
            key=lambda suggestion: (suggestion.get("offset") or 0, -suggestion["confidence"]),
        )

    @property
    def current(self) -> Suggestion:
        return self.suggestions[len(self.choices)]


@dataclass(frozen=True, slots=True)
class Saved:
    """A document that was saved, for undo: how many writes the save took."""

    document_id: str
    choices: list[Choice]
    writes: int


def review(
    project: ProjectOption = "",
    category: Annotated[str | None, typer.Option(help="Only documents with this category.")] = None,
    prefix: Annotated[
        str | None, typer.Option("--prefix", help="Only documents whose name begins with this.")
    ] = None,
    job: Annotated[str | None, typer.Option("--job", help="Only suggestions of this autolabel job.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Review suggestions in the terminal, one key each.

    The least certain come first. Each document is saved when its last suggestion is decided.

    Keys: a accepts, r rejects, l gives another category, A and R decide on the rest of the document, s skips it,
    u undoes, m shows more of a long text, q saves and quits.
    """
    out = Output(as_json)
    with session.project(out, project) as api, single_keys() as key, ThreadPoolExecutor(1) as pool:
        found = api.documents(
            status="autoLabeled",
            category=category,
            location_prefix=prefix,
            job_id=job,
            orderby="uncertainty",
            top=PAGE,
        )
        total = None if category or prefix or job else api.statistics()["documents"]["autoLabeled"]
        reviewer = Reviewer(api, session.label_field(api), found, pool, out.err, key, total)
        try:
            with out.err.screen(hide_cursor=True):
                reviewer.run()
        finally:
            counts = reviewer.counts
            parts = [f"{counts.accepted:,} accepted", f"{counts.rejected:,} rejected"]
            parts += [f"{counts.relabeled:,} given another category", f"{counts.skipped:,} skipped"]
            if reviewer.shown and not as_json:
                out.say(f"Saved {counted(counts.documents, 'document')}: {', '.join(parts)}.")
    rest = "are no more suggestions" if reviewer.shown else "is nothing"
    out.result(asdict(counts), *([] if reviewer.quit else [f"There {rest} to review."]))


class Reviewer:
    """Goes through documents; `key` waits for a key. `total` of them, if that is known."""

    def __init__(
        self,
        api: ProjectClient,
        label_field: Field,
        documents: Iterator[Document],
        pool: ThreadPoolExecutor,
        console: Console,
        key: Callable[[], str],
        total: int | None,
    ) -> None:
        self._api, self._field, self._documents = api, label_field, documents
        self._pool, self._console, self._key = pool, console, key
        self._categories = [category["category"] for category in api.categories()]
        self._total = total
        self._again: list[Document] = []
        self._saved: list[Saved] = []
        self._note = ""
        self._fetched: Future[Open | None] = pool.submit(self._fetch)
        self.counts = Counts()
        self.shown = False  # a document at all
        self.quit = False

    def run(self) -> None:
        """Until nothing is left, or someone quits."""
        while not self.quit:
            shown = self._next()
            if shown is None:
                if not self._saved or not self._ask_for_undo():
                    return
                continue
            self.shown = True
            self._review(shown)

    def _ask_for_undo(self) -> bool:
        """The last decision can be wrong, too, so wait for a key before the end."""
        self._print(Text(f"{self._note}\nThat was the last one.\n\nu undo  q quit".strip()))
        self._note = ""
        while True:
            pressed = self._key()
            if pressed == "u":
                self._undo_saved(None)
                return True
            if pressed in {"q", ESCAPE}:
                self.quit = True
                return False

    # Documents

    def _next(self) -> Open | None:
        """The next document, with its text; None when there is no other."""
        if self._again:
            return self._open(self._again.pop())
        shown = self._fetched.result()
        if shown is not None:
            self._fetched = self._pool.submit(self._fetch)
        return shown

    def _fetch(self) -> Open | None:
        """The next one of the list, read ahead while a person decides on the one before."""
        for document in self._documents:
            if document["suggestions"]:
                return self._open(document)
        return None

    def _open(self, document: Document) -> Open:
        try:
            return Open(document, self._api.text(document["id"]))
        except ApiError as error:
            if error.from_host:
                raise
            return Open(document, f"(The text cannot be read: {error})")

    # Keys

    def _review(self, shown: Open) -> None:
        while not self.quit:
            self._draw(shown)
            pressed = self._key()
            if pressed in {"a", "r", "A", "R"}:
                count = len(shown.suggestions) - len(shown.choices) if pressed.isupper() else 1
                shown.choices += [Choice(ACCEPTED if pressed in "aA" else REJECTED)] * count
            elif pressed == "l":
                self._relabel(shown)
            elif pressed == "m":
                shown.shift += 1
            elif pressed == "f":
                self._flag(shown)
            elif pressed == "u" and self._undo(shown):
                return
            if pressed in {"s", "q"} or self._is_decided(shown):
                self.counts.skipped += pressed == "s"
                self.quit = pressed == "q"
                self._save(shown)
                return

    def _is_decided(self, shown: Open) -> bool:
        """Every suggestion is decided, or the one class of the document is found."""
        if self._field == "class" and any(
            choice.verdict == ACCEPTED or choice.category for choice in shown.choices
        ):
            return True
        return len(shown.choices) == len(shown.suggestions)

    def _relabel(self, shown: Open) -> None:
        """Choose the right category; any other key leaves the suggestion unchanged."""
        first = 0
        while True:
            names = self._categories[first : first + len(CHOICES)]
            lines = ["Which category is right?", ""]
            lines += [f"{key}  {safe(name)}" for key, name in zip(CHOICES, names, strict=False)]
            more = len(self._categories) > len(CHOICES)
            self._draw(shown, Text("\n".join([*lines, "", "space more  " * more + "any other key: back"])))
            pressed = self._key()
            if pressed == " " and more:
                first = first + len(CHOICES) if first + len(CHOICES) < len(self._categories) else 0
                continue
            place = CHOICES.find(pressed) if pressed else -1
            if not 0 <= place < len(names):
                return
            right = names[place] == shown.current["category"]
            shown.choices.append(Choice(ACCEPTED) if right else Choice(REJECTED, names[place]))
            return

    def _flag(self, shown: Open) -> None:
        """Flag the document for other people, or remove the flag; saved at once."""
        try:
            shown.document = self._api.patch(shown.document, {"flagged": not shown.document["flagged"]})
        except ApiError as error:
            if error.from_host or error.status not in {404, 409}:
                raise
            shown.note = f"Not flagged: {error}"

    def _undo(self, shown: Open) -> bool:
        """Undo the last decision: of this document, or the last saved one. True: another document is next."""
        if shown.choices:
            shown.choices.pop()
            return False
        if not self._saved:
            shown.note = "There is nothing to undo."
            return False
        self._undo_saved(shown.document)
        return True

    def _undo_saved(self, current: Document | None) -> None:
        last = self._saved.pop()
        if current is not None:
            self._again.append(current)
        try:
            document = self._api.undo(last.document_id)
            if last.writes > 1:  # a decision, and the labels that were set after it
                document = self._api.undo(last.document_id)
        except ApiError as error:
            if error.from_host:
                raise
            self._note = f"It cannot be undone: {error}"
            return
        self.counts.add(last.choices, -1)
        self._note = "Undone."
        self._again.append(document)

    # Saving

    def _save(self, shown: Open) -> None:
        """Save the decisions. A document that someone else changed is shown again in its current state."""
        if not shown.choices:
            return
        writes = 0
        try:
            document = shown.document
            decision = self._decision(shown)
            if decision is not None:
                [result] = self._api.review([decision])
                if result["status"] != "saved":
                    self._show_again(
                        shown.document, result["status"], (result.get("error") or {}).get("message", "")
                    )
                    return
                document = result.get("document") or document
                writes += 1
            labels = self._labels(shown, document)
            if labels is not None:
                self._api.set_labels(document, labels)
                writes += 1
        except ApiError as error:
            if error.status != 409:
                raise
            if writes:
                self._api.undo(shown.document["id"])
            self._show_again(shown.document, "conflict", str(error))
            return
        self._saved.append(Saved(shown.document["id"], shown.choices, writes))
        self.counts.add(shown.choices, 1)
        self._note = f"Saved {shown.document['location']}."

    def _show_again(self, document: Document, status: str, reason: str) -> None:
        name = document["location"]
        self._note = (
            f"Not saved: {name} was changed by someone else."
            if status == "conflict"
            else f"Not saved: {reason}"
        )
        try:
            now = self._api.document(document["id"])
        except ApiError as error:
            if error.status != 404:
                raise
            return
        if now["suggestions"]:
            self._again.append(now)

    def _decision(self, shown: Open) -> Decision | None:
        accept, reject = list[str](), list[str]()
        for suggestion, choice in zip(shown.suggestions, shown.choices, strict=False):
            if self._field == "class" and choice.category:  # the label that is set drops it
                continue
            (accept if choice.verdict == ACCEPTED else reject).append(suggestion["id"])
        if not accept and not reject:
            return None
        document = shown.document
        return {"documentId": document["id"], "eTag": document["eTag"], "accept": accept, "reject": reject}

    def _labels(self, shown: Open, document: Document) -> Labels | None:
        """The labels with those of other categories, if there are any."""
        pairs = zip(shown.suggestions, shown.choices, strict=False)
        given = [(suggestion, choice.category) for suggestion, choice in pairs if choice.category]
        if not given:
            return None
        if self._field == "class":
            return {"class": {"category": given[-1][1]}}
        if self._field == "classes":
            names = [label["category"] for label in document.get("classes") or []]
            return {
                "classes": [{"category": name} for name in dict.fromkeys([*names, *(n for _, n in given)])]
            }
        regions = document.get("entities") or []
        for suggestion, name in given:
            entity: Entity = {
                "category": name, "offset": suggestion.get("offset") or 0, "length": suggestion.get("length") or 1,
            }  # fmt: skip
            regions = _with(regions, entity, Offsets(shown.text).length)
        return {"entities": regions}

    # The screen

    def _draw(self, shown: Open, choices: RenderableType | None = None) -> None:
        suggestion = shown.current
        done = self.counts.documents
        left = "" if self._total is None else f", {max(self._total - done, 0):,} to go"
        marks = "   flagged" if shown.document["flagged"] else ""
        written = shown.document.get("note")
        head = Text(safe(f"{shown.document['location']}   {done:,} saved{left}{marks}"), "bold")
        if written:
            head.append(safe(f"\nNote: {' '.join(written.split())[:NOTE]}"), "not bold")
        number, count = len(shown.choices) + 1, len(shown.suggestions)
        of = f"{number} of {count}   " if count > 1 else ""
        tenths = round(suggestion["confidence"] * 10)
        question = Text.assemble(
            of, (safe(suggestion["category"]), "bold reverse"),
            f"   confidence {suggestion['confidence']:.2f} {'#' * tenths}{'.' * (10 - tenths)}",
        )  # fmt: skip
        note, self._note = shown.note or self._note, ""
        shown.note = ""
        below: RenderableType = choices or Text(HELP, "dim")
        self._print(
            Group(head, Text(""), self._excerpt(shown), Text(""), question, Text(safe(note), "italic"), below)
        )

    def _print(self, what: RenderableType) -> None:
        self._console.clear()
        self._console.print(what, soft_wrap=False, end="\n")

    def _excerpt(self, shown: Open) -> Text:
        """The part of the text around the suggestion that fits on the screen, with all spans marked."""
        text, spans, current = self._marked(shown)
        size = max((self._console.height - FRAME) * max(self._console.width - 1, 20) * 2 // 3, 200)
        first = max(0, current - size // 3) if current > size * 2 // 3 else 0
        first += shown.shift * size
        if first >= len(text):
            first = shown.shift = 0
        cut = text[first : first + size].rstrip("\n")
        made = Text(f"{'... ' * (first > 0)}{safe(cut)}{' ...' * (first + size < len(text))}")
        begin = 4 * (first > 0) - first
        for start, end, style in spans:
            if end > first and start < first + size:
                made.stylize(style, max(start, first) + begin, min(end, first + size) + begin)
        return made

    def _marked(self, shown: Open) -> tuple[str, list[tuple[int, int, str]], int]:
        """(text, spans with their styles, where the current one is)."""
        if self._field != "entities":
            return shown.text, [], 0
        offsets, spans, current = Offsets(shown.text), list[tuple[int, int, str]](), 0
        for region in shown.document.get("entities") or []:
            for entity in region["labels"]:
                spans += _span(offsets, entity, "blue underline")
        for number, suggestion in enumerate(shown.suggestions):
            style = "underline"
            if number < len(shown.choices):
                choice = shown.choices[number]
                style = "green underline" if choice.verdict == ACCEPTED or choice.category else "dim strike"
            elif number == len(shown.choices):
                style = "bold reverse"
            place = _span(offsets, cast(Any, suggestion), style)
            current = place[0][0] if place and number == len(shown.choices) else current
            spans += place
        return shown.text, spans, current


def _span(offsets: Offsets, entity: Entity, style: str) -> list[tuple[int, int, str]]:
    try:
        start = offsets.to_characters(entity["offset"])
        return [(start, offsets.to_characters(entity["offset"] + entity["length"]), style)]
    except (Misfit, KeyError, TypeError):
        return []


def _with(regions: list[Region], entity: Entity, length: int) -> list[Region]:
    """The regions with one entity more: in the one that has its place, or in one region over the whole text."""
    end = entity["offset"] + entity["length"]
    for number, region in enumerate(regions):
        if (
            region["regionOffset"] <= entity["offset"]
            and end <= region["regionOffset"] + region["regionLength"]
        ):
            grown: Region = {**region, "labels": [*region["labels"], entity]}
            return [*regions[:number], grown, *regions[number + 1 :]]
    entities = [label for region in regions for label in region["labels"]]
    return [{"regionOffset": 0, "regionLength": length, "labels": [*entities, entity]}]
