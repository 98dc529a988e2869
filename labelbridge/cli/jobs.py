"""Commands that start jobs or follow them: autolabel, watch, accept, reject, undo, train, metrics, export."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer
from rich.table import Table

from labelbridge.cli import session
from labelbridge.cli.output import (
    PARTLY,
    JsonOption,
    NotThere,
    Output,
    Stop,
    YesOption,
    counted,
    moment,
    table,
    write_stdout,
)
from labelbridge.cli.session import ProjectOption, WaitOption, ended
from labelbridge.client import ApiError, Job, JobFailed, ProjectClient
from labelbridge.client.models import BulkBody, Estimate, EvaluationSummary, JobState

#: Paths of the kinds of jobs; an id does not say its kind.
KINDS = {
    "autolabel/jobs": "Autolabel job", "review/jobs": "Bulk decision", "review/undo-jobs": "Undo",
    "train/jobs": "Training", "import/jobs": "Import", "export/jobs": "Export", "documents/scan/jobs": "Scan",
    "connection/jobs": "Connection", "push/jobs": "Push",
}  # fmt: skip

LIVE = {"notStarted", "running", "cancelling"}

CategoryOption = Annotated[
    list[str] | None, typer.Option("--category", help="Only this category; may be repeated.")
]


def autolabel(
    project: ProjectOption = "",
    category: CategoryOption = None,
    model: Annotated[str | None, typer.Option(help="Label of the model to use; default: the newest.")] = None,
    engine: Annotated[str | None, typer.Option(help="Engine to use; default: that of the project.")] = None,
    cost_limit: Annotated[
        float | None, typer.Option(help="Cost limit of the job; finished documents are kept.")
    ] = None,
    estimate: Annotated[bool, typer.Option("--estimate", help="Only show the estimated cost.")] = False,
    wait: WaitOption = True,
    as_json: JsonOption = False,
) -> None:
    """Suggest labels for every unlabeled document."""
    out = Output(as_json)
    body: Any = {
        "engine": engine, "modelLabel": model, "categories": category or None, "costLimit": cost_limit,
    }  # fmt: skip
    body = {name: value for name, value in body.items() if value is not None}
    with session.project(out, project) as api:
        if estimate:
            found = api.estimate(body)
            out.result(found, _estimated(found))
            return
        state = ended(out, api.autolabel(body), "Autolabel job", project=project, wait=wait, partly=True)
    if state:
        _finish(out, state, "Autolabel job")


def _estimated(found: Estimate) -> str:
    """Tokens and cost only for an engine that is paid by the token, cost only if the app knows the prices."""
    if unavailable := found.get("unavailable"):
        return f"The job would fail now: {unavailable}"
    text = (
        f"The job would read {counted(found['documents'], 'document')}, "
        f"which are {counted(found['textRecords'], 'text record')}"
    )
    tokens, cost = found.get("tokens"), found.get("cost")
    if tokens is not None:
        text += f", about {counted(tokens, 'token')} for the engine '{found['engine']}'"
    return text + (f", and cost about {cost:.2g}." if cost is not None else ".")


def watch(
    job: Annotated[
        str, typer.Argument(help="Id or address of a job; default: the newest autolabel job.")
    ] = "",
    project: ProjectOption = "",
    as_json: JsonOption = False,
) -> None:
    """Watch a job until it ends."""
    out = Output(as_json)
    with session.project(out, project) as api:
        what, found = _find_job(api, job)
        try:
            state = session.follow(out, found, what, project=project, given=job)
        except JobFailed as error:
            state = error.state
    _finish(out, state, what)


def fits(project: ProjectOption = "", as_json: JsonOption = False) -> None:
    """List the fits of engines on the labels, newest first."""
    out = Output(as_json)
    with session.project(out, project) as api:
        found = list(api.fits())
    rows = [_fit(state) for state in found]
    heads = ("started", "engine", "labeled documents", "state", "seconds", "reason")
    out.result(found, table(heads, rows, right=(2, 4)) if rows else "No engine has been fitted yet.")


def _fit(state: JobState) -> tuple[object, ...]:
    result = state.get("result") or {}
    status: dict[str, Any] = result.get("trainingStatus") or {}
    begin, end = status.get("startDateTime"), status.get("endDateTime")
    seconds = ""
    if begin and (end or state["status"] in LIVE):  # a fit that an earlier version gave up has no end
        until = datetime.fromisoformat(end) if end else datetime.now(UTC)
        seconds = f"{(until - datetime.fromisoformat(begin)).total_seconds():.1f}"
    words = session.describe(state)
    if state["status"] == "running":
        words += f", {status.get('percentComplete', 0)} %"
    reasons = " ".join(error["message"] for error in state.get("errors", []))
    return (
        moment(begin or state["createdDateTime"]), result.get("engine"),
        result.get("labeledDocuments") if begin else "", words, seconds, reasons,
    )  # fmt: skip


def _find_job(api: ProjectClient, given: str) -> tuple[str, Job]:
    """The job and its kind in words. Raises NotThere."""
    if not given:
        newest = next(iter(api.autolabel_jobs()), None)
        if newest is None:
            raise NotThere(f"The project '{api.name}' has no autolabel job.")
        return "Autolabel job", api.job("autolabel/jobs", newest["jobId"])
    if given.startswith(("http://", "https://")):
        return "Job", api.client.job(given)
    for kind, what in KINDS.items():
        found = api.job(kind, given)
        try:
            found.state()
        except ApiError as error:
            if error.status != 404 or error.code == "ProjectNotFound":
                raise
        else:
            return what, found
    raise NotThere(f"The project '{api.name}' has no job '{given}'.")


def _finish(out: Output, state: JobState, what: str) -> None:
    """The last state of a job as a result; the exit status depends on whether it succeeded."""
    result = state.get("result") or {}
    parts = [f"{what} {state['jobId']}: {session.describe(state)}."]
    parts += [error["message"] for error in state.get("errors", [])]
    parts += [f"Warning: {warning['message']}" for warning in state.get("warnings", [])]
    if "changed" in result:
        parts.append(f"{counted(result['changed'], 'suggestion')} decided on.")
    out.result(state, *parts)
    if state["status"] != "succeeded":
        raise SystemExit(PARTLY)


MinOption = Annotated[float | None, typer.Option("--min-confidence", min=0, max=1, help="Lowest confidence.")]
MaxOption = Annotated[
    float | None, typer.Option("--max-confidence", min=0, max=1, help="Highest confidence.")
]
PrefixOption = Annotated[
    str | None, typer.Option("--prefix", help="Only documents whose name begins with this.")
]
TextOption = Annotated[str | None, typer.Option("--text", help="Only entities with exactly this text.")]
JobFilter = Annotated[str | None, typer.Option("--job", help="Only suggestions of this autolabel job.")]
FlaggedOption = Annotated[bool, typer.Option("--flagged", help="Only flagged documents.")]
AssignedOption = Annotated[
    str | None,
    typer.Option("--assigned-to", help="Only documents assigned to this person; @me: you, @none: nobody."),
]
DatasetOption = Annotated[
    Literal["Train", "Test"] | None, typer.Option(help="Only documents of this dataset.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only count.")]


def _decision(decision: Literal["accept", "reject"], description: str) -> Callable[..., None]:
    """A command that decides on all matching suggestions; `description` is its help."""

    def command(
        project: ProjectOption = "",
        min_confidence: MinOption = None,
        max_confidence: MaxOption = None,
        category: CategoryOption = None,
        prefix: PrefixOption = None,
        text: TextOption = None,
        job: JobFilter = None,
        flagged: FlaggedOption = False,
        assigned_to: AssignedOption = None,
        dataset: DatasetOption = None,
        dry_run: DryRunOption = False,
        yes: YesOption = False,
        as_json: JsonOption = False,
    ) -> None:
        filters = {
            "minConfidence": min_confidence, "maxConfidence": max_confidence, "categories": category or None,
            "locationPrefix": prefix, "text": text, "jobId": job, "flagged": flagged or None,
            "assignedTo": assigned_to, "dataset": dataset,
        }  # fmt: skip
        chosen = {name: value for name, value in filters.items() if value is not None}
        body = cast(BulkBody, {"decision": decision, **chosen})
        _decide(Output(as_json), project, body, dry_run=dry_run, yes=yes)

    command.__name__ = decision
    command.__doc__ = description
    return command


accept = _decision(
    "accept",
    "Accept all matching suggestions, after a confirmation.\n\nTo undo this, use 'labelbridge undo'.",
)
reject = _decision(
    "reject",
    "Reject all matching suggestions, after a confirmation.\n\n"
    "They are not suggested again. To undo this, use 'labelbridge undo'.",
)


def _decide(out: Output, name: str, body: BulkBody, *, dry_run: bool, yes: bool) -> None:
    word = body["decision"]
    with session.project(out, name) as api:
        counted_state = session.follow(
            out, api.review_all({**body, "dryRun": True}), "Counting", project=None
        )
        found: Any = counted_state.get("result") or counted_state  # the latter says what is missing
        count = found["matched"]
        matching = counted(count, "suggestion matches", "suggestions match")
        if dry_run or not count:
            out.result(counted_state, f"{matching}; nothing was changed.")
            return
        out.confirm(f"{matching}. {word.capitalize()} {'it' if count == 1 else 'all of them'}?", yes=yes)
        state = ended(out, api.review_all(body), "Bulk decision", project=name, wait=True, partly=True)
    result = (state or {}).get("result") or {}
    did = (
        f"{'Accepted' if word == 'accept' else 'Rejected'} {counted(result.get('changed', 0), 'suggestion')}"
    )
    left = (
        f"; {counted(result['conflicts'], 'suggestion')} left unchanged because of conflicts"
        if result.get("conflicts")
        else ""
    )
    how = session.command("undo", (state or {}).get("jobId", ""), name)
    out.result(state, f"{did}{left}. To undo it: {how}")


def undo(
    job: Annotated[str, typer.Argument(help="Id of a bulk decision, as 'accept' and 'reject' print it.")],
    project: ProjectOption = "",
    as_json: JsonOption = False,
) -> None:
    """Undo a bulk decision.

    Documents that someone has decided on again since then stay as they are.
    """
    out = Output(as_json)
    with session.project(out, project) as api:
        state = ended(out, api.undo_review(job), "Undo", project=project, wait=True, partly=True)
    result = (state or {}).get("result") or {}
    out.result(state, f"Undone in {counted(result.get('undone', 0), 'document')}.")


TestOption = Annotated[
    int, typer.Option(min=1, max=99, help="Percentage of the documents used to test the model.")
]
ManualOption = Annotated[
    bool, typer.Option("--manual", help="Use the documents of the dataset Test to test the model.")
]


def split_of(test: int, *, manual: bool) -> Any:
    """The `evaluationOptions` of a training: the documents of the dataset Test, or a percentage of all."""
    if manual:
        return {"kind": "manual"}
    return {"kind": "percentage", "trainingSplitPercentage": 100 - test, "testingSplitPercentage": test}


def train(
    model: Annotated[str, typer.Argument(help="Label of the model; an existing one is trained again.")],
    project: ProjectOption = "",
    test: TestOption = 20,
    manual: ManualOption = False,
    yes: YesOption = False,
    wait: WaitOption = True,
    as_json: JsonOption = False,
) -> None:
    """Train a model on the labels.

    When it succeeds, suggestions that nobody decided on are removed.
    """
    out = Output(as_json)
    with session.project(out, project) as api:
        pending = api.statistics()["documents"]["autoLabeled"]
        if pending:
            has = counted(pending, "document has", "documents have")
            out.confirm(
                f"{has} pending suggestions; a successful training removes them. Train?",
                yes=yes,
            )
        job = api.train(
            {
                "modelLabel": model,
                "trainingConfigVersion": "latest",
                "evaluationOptions": split_of(test, manual=manual),
            }
        )
        state = ended(out, job, "Training", project=project, wait=wait)
        if state:
            for warning in state.get("warnings", []):
                out.say(f"Warning: {warning['message']}")
            summary = api.evaluation_summary(model)
            data = {"job": state, "model": api.model(model), "evaluation": summary}
            out.result(data, f"Trained the model '{model}'.", *_figures(summary))


def metrics(
    model: Annotated[str, typer.Argument(help="Label of the model; default: the newest.")] = "",
    project: ProjectOption = "",
    confusion: Annotated[bool, typer.Option("--confusion", help="Also show the confusion matrix.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the evaluation of a model by category."""
    out = Output(as_json)
    with session.project(out, project) as api:
        found = api.model(model) if model else next(iter(api.models()), None)
        if found is None:
            raise NotThere(f"The project '{api.name}' has no model. Train one with: labelbridge train NAME")
        summary = api.evaluation_summary(found["label"])
    trained = moment(found["lastTrainedDateTime"])
    title = f"Model '{found['label']}', trained {trained} with the engine '{found['engine']}'."
    out.result({"model": found, "evaluation": summary}, title, *_figures(summary, confusion=confusion))


def _figures(summary: EvaluationSummary, *, confusion: bool = False) -> list[str | Table]:
    by_kind: dict[str, Any] = dict(summary)
    figures: Any = next(
        (value for name, value in by_kind.items() if name.startswith("custom") and value), summary
    )
    by_category: dict[str, Any] = figures.get("classes") or figures.get("entities") or {}
    rows: list[tuple[object, ...]] = [
        (name, *(f"{scores[key]:.2f}" for key in ("precision", "recall", "f1")),
         scores["truePositiveCount"], scores["falsePositiveCount"], scores["falseNegativeCount"])
        for name, scores in sorted(by_category.items())
    ]  # fmt: skip
    for name in ("micro", "macro"):
        shares = (f"{figures[f'{name}{key}']:.2f}" for key in ("Precision", "Recall", "F1"))
        rows.append((f"{name} average", *shares, "", "", ""))
    heads = ("category", "precision", "recall", "F1", "right", "wrong", "not found")
    lines: list[str | Table] = [table(heads, rows, right=range(1, 7))]
    matrix: dict[str, Any] = figures.get("confusionMatrix") or {}
    if confusion and matrix:
        cells = [(row, *(f"{matrix[row][column]['rawValue']:g}" for column in matrix)) for row in matrix]
        lines += ["", table(("expected \\ found", *matrix), cells, right=range(1, len(matrix) + 1))]
    elif confusion:
        lines += ["", "Multi-label models have no confusion matrix."]
    return lines


def export(
    output: Annotated[str, typer.Option("--output", "-o", help="File to write; '-' is stdout.")] = "-",
    project: ProjectOption = "",
    as_json: JsonOption = False,
) -> None:
    """Export the project as an Azure project file (JSON).

    It can be imported here and in Azure AI Language.
    """
    out = Output(as_json)
    with session.project(out, project) as api:
        job = api.export()
        state = session.follow(out, job, "Export", project=project)
        file = api.export_result(job.id)
    if output == "-":
        write_stdout(file.decode("utf-8"))
        return
    write_file(Path(output), file)
    out.result({"job": state, "file": output, "bytes": len(file)}, f"Wrote {len(file):,} bytes to {output}.")


def write_file(path: Path, data: bytes) -> None:
    """Write a file. Raises Stop."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise Stop(f"{path} cannot be written: {error.strerror}.") from error
