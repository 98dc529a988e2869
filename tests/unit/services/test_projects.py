"""Projects made and changed by several callers at once."""

import asyncio

from shared.domain.kinds import ProjectKind
from shared.services.projects import ProjectPatch
from tests.support.services import App


async def test_callers_who_make_one_project_at_once_all_succeed_and_one_made_it(app: App) -> None:
    await app.blobs.create_container(app.documents)
    patch = ProjectPatch(ProjectKind.SINGLE_LABEL, app.documents, "en-us")

    made = await asyncio.gather(*(app.container.projects.put(app.name, patch) for _ in range(8)))

    assert [new for _, new in made].count(True) == 1
    assert len({project.incarnation for project, _ in made}) == 1
