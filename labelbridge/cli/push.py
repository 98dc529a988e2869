"""`labelbridge push`: train and deploy a model in Azure Language with the labels made here."""

from typing import Annotated, Any

import typer

from labelbridge.cli import session
from labelbridge.cli.jobs import ManualOption, TestOption, split_of
from labelbridge.cli.output import JsonOption, Output, YesOption, counted
from labelbridge.cli.session import ProjectOption, WaitOption, ended
from labelbridge.client.models import JobState, PushBody, PushTarget


def push(
    project: ProjectOption = "",
    name: Annotated[
        str | None, typer.Option("--as", help="Name of the project there; default: the same name.")
    ] = None,
    deployment: Annotated[
        str | None, typer.Option(help="Deployment of the model; default: that of the app's settings.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Label of the model there; default: labelbridge. An existing one is trained again."
        ),
    ] = None,
    test: TestOption = 20,
    manual: ManualOption = False,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Replace a project or deployment there that was not pushed from here."
        ),
    ] = False,
    yes: YesOption = False,
    wait: WaitOption = True,
    as_json: JsonOption = False,
) -> None:
    """Train and deploy a model of the project in Azure Language.

    The project is imported there, and its jobs then use the model. A project of that name in the Language resource is
    replaced if it was pushed from here, or with --replace. The app's settings name the resource.
    """
    out = Output(as_json)
    body: PushBody = {
        "projectName": name, "deploymentName": deployment, "modelLabel": model,
        "evaluationOptions": split_of(test, manual=manual), "replace": replace,
    }  # fmt: skip
    with session.project(out, project) as api:
        target = api.push_target()
        if target["available"]:  # else the app refuses, and says which setting is missing
            out.confirm(_question(target, body), yes=yes)
        state = ended(out, api.push(body), "Push", project=project, wait=wait)
    if state:
        out.result(state, *lines(state))


def _question(target: PushTarget, body: PushBody) -> str:
    project = body.get("projectName") or target["projectName"]
    model = body.get("modelLabel") or target["modelLabel"]
    deployment = body.get("deploymentName") or target["deploymentName"]
    others = (
        "even if it was not pushed from here" if body.get("replace") else "if it was pushed from here before"
    )
    return (
        f"This replaces the project '{project}' at {target['endpoint']}, {others}, trains the model "
        f"'{model}' there and deploys it as '{deployment}'. Push?"
    )


def lines(state: JobState) -> list[str]:
    """The result of a push that succeeded, in words."""
    result: dict[str, Any] = state.get("result") or {}
    place = f"{result.get('projectName')}/{result.get('deploymentName')}"
    return [
        f"Pushed {counted(result.get('documents') or 0, 'document')}. Jobs with the engine 'azure-language' use the "
        f"deployment {place} from now on.",
        *(f"Warning: {warning['message']}" for warning in state.get("warnings", [])),
    ]
