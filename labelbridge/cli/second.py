"""`labelbridge second`: a person labels a sample of labeled documents again, without seeing the first labels."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.text import Text

from labelbridge.cli import session
from labelbridge.cli.keys import ESCAPE, single_keys
from labelbridge.cli.output import JsonOption, NotThere, Output, Usage, counted, safe, table
from labelbridge.cli.session import ProjectOption
from labelbridge.client import ProjectClient
from labelbridge.client.models import AgreementAnswer, BlindItem, SecondReview, SecondReviewBody
from labelbridge.formats.records import Field

app = typer.Typer(no_args_is_help=True, help="Have a sample labeled again, blind, and compare the labels.")

#: Categories that have a key at a time.
KEYS = 9
#: Lines of the screen that are not text.
FRAME = 16
HELP = {
    "class": "1-9 class and next  x no label applies  s skip  u undo  m more text  q quit",
    "classes": "1-9 add or remove  e save and next  x no label applies  s skip  u undo  m more text  q quit",
}

# An option, because an id may begin with a hyphen.
ReviewOption = Annotated[
    str, typer.Option("--review", help="Id of a second review, as 'list' prints it; default: the newest.")
]


@app.command()
def start(
    person: Annotated[str, typer.Argument(help="Name that the second person signs in with.")],
    project: ProjectOption = "",
    size: Annotated[int | None, typer.Option(min=1, help="Documents in the sample.")] = None,
    percent: Annotated[float | None, typer.Option(help="Or a percentage of the labeled documents.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed selects the same sample.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Have another person label a sample of the labeled documents again."""
    out = Output(as_json)
    if (size is None) is (percent is None):
        raise Usage("Set either --size or --percent.")
    body: SecondReviewBody = {"reviewer": person, "seed": seed}
    if size is not None:
        body["size"] = size
    else:
        body["percent"] = percent
    with session.project(out, project) as api:
        made = api.second_review(body)
    out.result(made, f"{made['id']}: {counted(made['documents'], 'document')} for '{person}'.")


@app.command("list")
def list_reviews(project: ProjectOption = "", as_json: JsonOption = False) -> None:
    """List second reviews, newest first."""
    out = Output(as_json)
    with session.project(out, project) as api:
        found = list(api.second_reviews())
    rows = [
        (
            review["id"],
            review["reviewer"],
            f"{review['documents']:,}",
            review["createdDateTime"][:10],
            review["by"],
        )
        for review in found
    ]
    heads = ("id", "second person", "documents", "started", "by")
    out.result(found, table(heads, rows, right=[2]) if rows else "There are no second reviews.")


@app.command()
def documents(review: ReviewOption = "", project: ProjectOption = "", as_json: JsonOption = False) -> None:
    """List the documents of a second review, and whether they are labeled."""
    out = Output(as_json)
    with session.project(out, project) as api:
        found = list(api.blind_documents(_review(api, review)["id"]))
    rows = [(item["location"], "labeled" if item["reviewed"] else "to label") for item in found]
    out.result(found, table(("document", "state"), rows))


@app.command()
def agreement(review: ReviewOption = "", project: ProjectOption = "", as_json: JsonOption = False) -> None:
    """Show the agreement between the two people by category, and the documents that they labeled differently.

    The second person cannot use it.
    """
    out = Output(as_json)
    with session.project(out, project) as api:
        chosen = _review(api, review)["id"]
        found = api.agreement(chosen)
        apart = list(api.disagreements(chosen))
        entities = session.label_field(api) == "entities"
    lines: list[Any] = [_summary(found, entities=entities)]
    if found["categories"]:
        heads = ("category", "kappa", "F1", "first", "second", "both")
        rows = [
            (c["category"], _figure(c["kappa"]), _figure(c["f1"]), *(f"{c[n]:,}" for n in ("first", "second", "both")))
            for c in found["categories"]
        ]  # fmt: skip
        lines.append(table(heads, rows, right=range(1, 6)))
    lines += [f"Different: {item['location']}{' (resolved)' * ('resolution' in item)}" for item in apart]
    out.result({**found, "differing": apart}, *lines)


@app.command("label")
def label_sample(review: ReviewOption = "", project: ProjectOption = "", as_json: JsonOption = False) -> None:
    """Label the sample in the terminal, one key for each class.

    Only the text is shown, without labels of others or suggestions. Entities are labeled on the review page.
    """
    out = Output(as_json)
    with session.project(out, project) as api:
        me = api.client.who_am_i()["name"]
        chosen = _review(api, review, me)
        if chosen["reviewer"] != me:
            raise Usage(f"The second review is for '{chosen['reviewer']}'; you are '{me}'.")
        label_field = session.label_field(api)
        if label_field == "entities":
            raise Usage("Entities are labeled in the review page: tab Team, Second reviews.")
        with single_keys() as key:
            labeler = Labeler(api, label_field, chosen["id"], out.err, key)
            try:
                with out.err.screen(hide_cursor=True):
                    labeler.run()
            finally:
                if not as_json:
                    out.say(f"Labeled {counted(labeler.counts.labeled, 'document')}.")
    out.result(asdict(labeler.counts), f"{counted(labeler.counts.left, 'document')} left to label.")


@dataclass
class Counts:
    labeled: int = 0
    left: int = 0


class Labeler:
    """Goes through the documents of a sample that have no second labels; each is saved before the next is shown."""

    def __init__(
        self, api: ProjectClient, label_field: Field, review: str, console: Console, key: Callable[[], str]
    ) -> None:
        self._api, self._field, self._review = api, label_field, review
        self._console, self._key = console, key
        self._names = [category["category"] for category in api.categories()]
        found = list(api.blind_documents(review))
        self._waiting = [item for item in found if not item["reviewed"]]
        self._done: list[BlindItem] = []
        self._note = ""
        self.counts = Counts(left=len(self._waiting))

    def run(self) -> None:
        """Until nothing is left, or someone quits."""
        while self._waiting or self._done:
            if not self._waiting and not self._ask():
                return
            item = self._waiting.pop(0)
            pressed = self._label(item)
            if pressed == "q":
                return
            if pressed == "u":
                self._waiting.insert(0, item)
                self._undo()

    def _ask(self) -> bool:
        """The last label can be wrong, too: the end waits for a key."""
        self._print(Text("That was the last one.\n\nu undo  q quit"))
        while (pressed := self._key()) not in {"u", "q", ESCAPE}:
            pass
        if pressed == "u":
            self._undo()
        return pressed == "u"

    def _undo(self) -> None:
        """Remove the labels given to the previous document, and show it again."""
        if not self._done:
            self._note = "There is nothing to undo."
            return
        item = self._done.pop()
        self._api.set_blind_labels(self._review, item["id"], {self._field: None})
        self._waiting.insert(0, item)
        self._count(-1)
        self._note = "Undone."

    def _label(self, item: BlindItem) -> str:
        """Show a document until it is saved (""), skipped, or a key that concerns others is pressed."""
        text = self._api.blind_document(self._review, item["id"])["text"]
        chosen: list[str] = []
        first = shift = 0
        while True:
            names = self._names[first : first + KEYS]
            self._draw(item, text, shift, names, chosen)
            pressed = self._key()
            if pressed in {"q", "s", "u"}:
                return pressed
            if pressed == " " and len(self._names) > KEYS:
                first = first + KEYS if first + KEYS < len(self._names) else 0
            elif pressed == "m":
                shift += 1
            elif pressed == "x" or (pressed == "e" and chosen):
                return self._save(item, [] if pressed == "x" else chosen)
            elif pressed.isdecimal() and 0 < int(pressed) <= len(names):
                name = names[int(pressed) - 1]
                if self._field == "class":
                    return self._save(item, [name])
                chosen = [other for other in chosen if other != name] if name in chosen else [*chosen, name]

    def _save(self, item: BlindItem, names: list[str]) -> str:
        value: Any = [{"category": name} for name in names]
        if self._field == "class":
            value = {"category": names[0] if names else None}
        self._api.set_blind_labels(self._review, item["id"], {self._field: value})
        self._done.append(item)
        self._count(1)
        self._note = f"Saved {item['location']}."
        return ""

    def _count(self, sign: int) -> None:
        self.counts.labeled += sign
        self.counts.left -= sign

    # The screen

    def _draw(self, item: BlindItem, text: str, shift: int, names: list[str], chosen: list[str]) -> None:
        head = Text(safe(f"{item['location']}   {self.counts.left:,} to go"), "bold")
        size = max((self._console.height - FRAME) * max(self._console.width - 1, 20) * 2 // 3, 200)
        begin = shift * size % max(len(text), 1) if len(text) > size else 0
        shown = Text(safe(text[begin : begin + size]) + " ..." * (begin + size < len(text)))
        lines = [f"{number}  {safe(name)}{'  *' * (name in chosen)}" for number, name in enumerate(names, 1)]
        more = "space more classes  " * (len(self._names) > KEYS)
        note, self._note = self._note, ""
        choices = Text("\n".join(lines))
        keys = Text(more + HELP[self._field], "dim")
        self._print(Group(head, Text(""), shown, Text(""), choices, Text(safe(note), "italic"), keys))

    def _print(self, what: Any) -> None:
        self._console.clear()
        self._console.print(what, soft_wrap=False, end="\n")


def _review(api: ProjectClient, given: str, reviewer: str | None = None) -> SecondReview:
    """The second review with an id; without one the newest, of a person where one is named. Raises NotThere."""
    for review in api.second_reviews():
        if review["id"] == given or (not given and reviewer in {None, review["reviewer"]}):
            return review
    whose = f" for '{reviewer}'" if reviewer and not given else ""
    which = f" '{given}'" if given else whose
    raise NotThere(f"The project '{api.name}' has no second review{which}.")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _summary(found: AgreementAnswer, *, entities: bool) -> str:
    measure, value = ("F1", found["f1"]) if entities else ("kappa", found["kappa"])
    both = counted(found["documents"], "document")
    rest = (
        f"{found['agreed']:,} the same, {found['disagreements']:,} different, {found['resolved']:,} resolved"
    )
    return f"{measure} {_figure(value)}; {both} labeled by both: {rest}."
