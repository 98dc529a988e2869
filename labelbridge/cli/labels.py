"""`labelbridge labels`: from and to files of other tools."""

import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from labelbridge.cli import session
from labelbridge.cli.jobs import write_file
from labelbridge.cli.output import PARTLY, JsonOption, Output, Usage, YesOption, counted, table, write_stdout
from labelbridge.cli.session import ProjectOption, bar
from labelbridge.client import ApiError, ProjectClient
from labelbridge.client.models import Dataset, Document, Labels
from labelbridge.formats import FORMATS, BadFile, Format, Record, from_document, to_labels
from labelbridge.formats.records import Field, Misfit, same

app = typer.Typer(no_args_is_help=True, help="Export and import labels as files of other tools.")
AT_ONCE = 8
SHOWN = 10


class Name(StrEnum):
    """The formats by name."""

    CSV = "csv"
    JSONL = "jsonl"
    SPACY = "spacy"
    CONLL = "conll"
    LABEL_STUDIO = "label-studio"


class Set(StrEnum):
    """Datasets."""

    TRAIN = "Train"
    TEST = "Test"


FormatOption = Annotated[
    Name | None,
    typer.Option("--format", "-f", help="Format of the file; default: by the ending of its name."),
]


def _format(given: Name | None, file: str) -> Format:
    """Raises Usage when the name of the file does not say its format."""
    if given is not None:
        return FORMATS[given]
    suffix = Path(file).suffix.lower()
    fitting = [candidate for candidate in FORMATS.values() if candidate.suffix == suffix]
    if len(fitting) != 1:
        raise Usage(f"Specify the format of '{file}' with --format: {', '.join(FORMATS)}.")
    return fitting[0]


@app.command("export")
def export_labels(
    output: Annotated[str, typer.Argument(help="File to write; '-' is stdout.")],
    project: ProjectOption = "",
    file_format: FormatOption = None,
    dataset: Annotated[Set | None, typer.Option(help="Only documents of this dataset.")] = None,
    prefix: Annotated[str | None, typer.Option(help="Only documents whose name begins with this.")] = None,
    text: Annotated[bool, typer.Option(help="In JSON Lines with classes, include the texts.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Write the labels of all labeled documents to a file."""
    out = Output(as_json)
    chosen = _format(file_format, output)
    if as_json and output == "-":
        raise Usage("The labels and the JSON of --json cannot both go to stdout; name a file.")
    with session.project(out, project) as api:
        field = session.label_field(api)
        if chosen.entities_only and field != "entities":
            raise Usage(f"This format supports only entities, but the project '{api.name}' has classes.")
        only: Dataset | None = dataset.value if dataset else None
        found = list(
            api.documents(status="labeled", dataset=only, location_prefix=prefix, orderby="location")
        )
        needs_text = field == "entities" or (chosen.needs_text and (text or chosen is not FORMATS["jsonl"]))
        texts = _texts(out, api, found) if needs_text else {}
    records, left_out = _records(found, texts, needs_text=needs_text)
    file = io.StringIO(newline="")
    warnings = chosen.write(records, file, field)
    for warning in [f"{name}: {reason} It is left out." for name, reason in left_out.items()] + warnings:
        out.say(warning)
    data = file.getvalue()
    if output == "-":
        write_stdout(data)
    else:
        write_file(Path(output), data.encode("utf-8"))
        summary = {"file": output, "documents": len(records), "leftOut": left_out, "warnings": warnings}
        out.result(summary, f"Wrote the labels of {counted(len(records), 'document')} to {output}.")
    if left_out or warnings:
        raise SystemExit(PARTLY)


def _records(
    documents: list[Document], texts: dict[str, str | None], *, needs_text: bool
) -> tuple[list[Record], dict[str, str]]:
    """The records, and the reasons for documents without one."""
    records: list[Record] = []
    left_out: dict[str, str] = {}
    for document in documents:
        text = texts.get(document["id"])
        if needs_text and text is None:
            left_out[document["location"]] = "Its text cannot be read."
            continue
        try:
            records.append(from_document(document, text))
        except Misfit as reason:
            left_out[document["location"]] = str(reason)
    return records, left_out


def _texts(out: Output, api: ProjectClient, documents: Iterable[Document]) -> dict[str, str | None]:
    """The texts by id of the document; None for one whose blob cannot be read."""

    def text(document: Document) -> str | None:
        try:
            return api.text(document["id"])
        except ApiError as error:
            if error.from_host or error.status not in {404, 409}:
                raise
            return None

    wanted = list(documents)
    ids = [document["id"] for document in wanted]
    return dict(zip(ids, _all(out, "Reading the texts", text, wanted), strict=True))


def _all[A, B](out: Output, what: str, work: Callable[[A], B], items: list[A]) -> Iterator[B]:
    """The results of the work on each item in order, some at a time, with a progress bar."""
    with bar(out, transient=True) as progress, ThreadPoolExecutor(AT_ONCE) as pool:
        task = progress.add_task(what, total=len(items) or 1)
        try:
            for result in pool.map(work, items):
                progress.advance(task)
                yield result
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@dataclass(frozen=True, slots=True)
class Change:
    """The change of one document by an import."""

    document: Document
    labels: Labels | None
    dataset: Dataset | None


@app.command("import")
def import_labels(
    file: Annotated[Path, typer.Argument(help="File with labels.")],
    project: ProjectOption = "",
    file_format: FormatOption = None,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite labels that differ.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Label documents from a file, after a confirmation.

    Each document is labeled as by hand: its history says so, and importing the same file again changes nothing.
    """
    out = Output(as_json)
    chosen = _format(file_format, str(file))
    with session.project(out, project) as api:
        field = session.label_field(api)
        records = _records_in(file, chosen, field)
        plan = _Plan(out, api, field, replace=replace)
        plan.make(records)
        _show(out, plan)
        failed: dict[str, str] = {}
        if plan.changes and not dry_run:
            count = len(plan.changes)
            out.confirm(f"Label {counted(count, 'document')}?", yes=yes)
            results = _all(out, "Labeling", lambda change: _apply(api, change), plan.changes)
            failed = {name: reason for name, reason in results if reason}
    for name, reason in list(failed.items())[:SHOWN]:
        out.say(f"Not labeled: {name}: {reason}")
    done = 0 if dry_run else len(plan.changes) - len(failed)
    data = {
        "labeled": done, "wouldLabel": len(plan.changes), "unchanged": plan.unchanged, "skipped": plan.skipped,
        "failed": failed,
    }  # fmt: skip
    say = f"Would label {len(plan.changes):,}" if dry_run else f"Labeled {done:,}"
    out.result(
        data,
        f"{say} of {counted(len(records), 'document')}; {plan.unchanged:,} unchanged, {len(plan.skipped):,} skipped.",
    )
    if failed or plan.skipped:
        raise SystemExit(PARTLY)


def _records_in(path: Path, chosen: Format, field: Field) -> list[Record]:
    """Raises Usage for a file that cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(chosen.read(file, field))
    except OSError as error:
        raise Usage(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise Usage(f"{path} is not UTF-8 (byte {error.start}).") from error
    except BadFile as error:
        raise Usage(f"{path}: {error}") from error


class _Plan:
    """The plan of an import: `changes`, how many are `unchanged`, and why others are `skipped`."""

    def __init__(self, out: Output, api: ProjectClient, field: Field, *, replace: bool) -> None:
        self._out, self._api, self._replace = out, api, replace
        self._field: Field = field
        self.changes: list[Change] = []
        self.unchanged = 0
        self.skipped: dict[str, str] = {}
        self.reasons: Counter[str] = Counter()

    def make(self, records: list[Record]) -> None:
        documents = {listed["location"]: listed for listed in self._api.documents(orderby="location")}
        by_text = any(record.location is None for record in records)
        wanted = documents.values()
        if not by_text:
            named = {record.location for record in records}
            wanted = [listed for listed in wanted if listed["location"] in named]
        needs_text = by_text or self._field == "entities"
        texts = _texts(self._out, self._api, wanted) if needs_text else {}
        found_by_text: dict[str, list[Document]] = defaultdict(list)
        for document in documents.values() if by_text else ():
            found_by_text[texts.get(document["id"]) or ""].insert(0, document)
        for record in records:
            document = documents.get(record.location or "")
            if record.location is None:
                fitting = found_by_text.get((record.text or "").removeprefix("\ufeff"))
                document = fitting.pop() if fitting else None
            self._add(record, document, texts)

    def _add(self, record: Record, document: Document | None, texts: dict[str, str | None]) -> None:
        name = record.location or record.place
        if document is None:
            self._skip(name, "the project has no such document")
            return
        try:
            labels = to_labels(record, self._field, texts.get(document["id"]))
        except Misfit as reason:
            self._skip(name, str(reason), "the labels do not fit the text")
            return
        differs = not same(labels, document, self._field)
        if differs and document.get(self._field) is not None and not self._replace:
            self._skip(name, "it has other labels; use --replace to overwrite them")
            return
        dataset = cast(Dataset | None, record.dataset if record.dataset != document["dataset"] else None)
        if differs or dataset:
            self.changes.append(Change(document, labels if differs else None, dataset))
        else:
            self.unchanged += 1

    def _skip(self, name: str, reason: str, group: str = "") -> None:
        self.skipped[name] = reason
        self.reasons[group or reason] += 1


def _show(out: Output, plan: _Plan) -> None:
    rows = [(len(plan.changes), "to label"), (plan.unchanged, "unchanged")]
    rows += [(count, f"skipped: {reason}") for reason, count in plan.reasons.items()]
    out.err.print(table(("documents", ""), [(f"{count:,}", what) for count, what in rows], right=[0]))
    for name, reason in list(plan.skipped.items())[:SHOWN]:
        out.say(f"Skipped {name}: {reason}")
    if len(plan.skipped) > SHOWN:
        out.say(f"... and {len(plan.skipped) - SHOWN:,} more.")


def _apply(api: ProjectClient, change: Change) -> tuple[str, str]:
    """(name, reason of the refusal or "")."""
    document: Any = change.document
    try:
        if change.labels is not None:
            document = api.set_labels(document, change.labels)
        if change.dataset is not None:
            api.patch(document, {"dataset": change.dataset})
    except ApiError as error:
        if error.status not in {400, 404, 409} or error.code == "ProjectNotFound":
            raise
        return change.document["location"], str(error)
    return change.document["location"], ""
