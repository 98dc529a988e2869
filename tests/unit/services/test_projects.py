"""Projects made and changed by several callers at once."""

import asyncio
import json

from shared.domain.names import ProjectKind, incarnation_of_import
from shared.services.projects.service import ProjectPatch
from tests.support.services import App


async def test_callers_who_make_one_project_at_once_all_succeed_and_one_made_it(app: App) -> None:
    await app.blobs.create_container(app.documents)
    patch = ProjectPatch(ProjectKind.SINGLE_LABEL, app.documents, "en-us")

    made = await asyncio.gather(*(app.container.projects.put(app.name, patch) for _ in range(8)))

    assert [new for _, new in made].count(True) == 1
    assert len({project.incarnation for project, _ in made}) == 1


async def test_the_incarnation_of_an_import_follows_from_its_job(app: App) -> None:
    """By this a repeated import knows the project that it made after its answer (`Idempotency-Key`)."""
    await app.blobs.create_container(app.documents)
    body = {
        "projectFileVersion": "2022-05-01",
        "stringIndexType": "Utf16CodeUnit",
        "metadata": {
            "projectKind": "CustomSingleLabelClassification",
            "storageInputContainerName": app.documents,
            "projectName": app.name,
            "language": "en-us",
        },
        "assets": {"projectKind": "CustomSingleLabelClassification", "classes": [], "documents": []},
    }

    await app.container.imports.start(app.name, json.dumps(body).encode(), "me", "job")

    made = await app.container.projects.get(app.name)
    assert made.incarnation == incarnation_of_import("job")
