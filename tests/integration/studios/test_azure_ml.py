"""What the studio `azure-ml` asks of Azure, what it does with every state of a labeling job, and with every
fault.
"""

import asyncio
import json
from dataclasses import replace

import pytest

from shared.connection.studios.arm import SWITCH_ACTION, allows
from shared.connection.studios.azure_ml import ACCESS_BY_STATUS
from shared.connection.studios.base import Exported, StudioFailed, Waiting
from shared.domain.errors import Forbidden, Unavailable
from shared.domain.names import ProjectKind
from tests.fakes.arm import STORAGE, SUBSCRIPTION, workspace_id
from tests.fakes.arm_jobs import STATES
from tests.fakes.entra import StaticToken
from tests.fakes.faults import Fault
from tests.integration.studios.conftest import BINDING, TARGET, World

JOB = f"{workspace_id()}/labelingJobs/news"
LONG_URI = f"azureml://subscriptions/{SUBSCRIPTION}/resourcegroups/rg/workspaces/ws1/datastores/"


async def unmet(world: World, **changes: object) -> list[str]:
    return [c.code for c in await world.studio.conditions(world.target(**changes)) if not c.met]


async def test_the_conditions_are_looked_up_and_nothing_is_changed(world: World) -> None:
    assert await unmet(world) == []
    assert {call.split()[0] for call in world.arm.calls} == {"GET"}


async def test_all_unmet_conditions_of_azure_are_reported(world: World) -> None:
    binding = replace(BINDING, workspace_id=workspace_id("none"))
    assert await unmet(world, binding=binding) == ["WorkspaceExists"]
    elsewhere = workspace_id().replace(SUBSCRIPTION, SUBSCRIPTION[:-1] + "2")
    assert await unmet(world, binding=replace(BINDING, workspace_id=elsewhere)) == ["WorkspaceExists"]
    world.arm.add_workspace("ws2", storage=STORAGE + "2", principal=None)
    assert (
        await world.studio.create(world.target(binding=replace(BINDING, workspace_id=workspace_id("ws2"))))
        is None
    )
    both = replace(TARGET, binding=replace(BINDING, workspace_id=workspace_id("ws2")), owner="other")
    codes = [c.code for c in await world.studio.conditions(both) if not c.met]
    assert codes == ["SameStorageAccount", "IdentityHasRole", "NameIsFree"], "all together"


@pytest.mark.parametrize(
    ("scope", "role", "met"),
    [
        (STORAGE, None, True),
        (STORAGE.upper(), None, True),
        (f"/subscriptions/{SUBSCRIPTION}", None, True),
        (f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg", None, True),
        (f"/subscriptions/{SUBSCRIPTION}/resourceGroups/r", None, False),
        (f"{STORAGE}/blobServices/default/containers/docs", None, False),
        (STORAGE, "/providers/Microsoft.Authorization/roleDefinitions/reader", False),
    ],
)
async def test_the_role_counts_at_the_account_or_above(
    world: World, scope: str, role: str | None, met: bool
) -> None:
    world.arm.assignments.clear()
    world.arm.grant(scope=scope, **({"role": role} if role else {}))
    assert (await unmet(world) == []) is met


async def test_a_role_on_a_later_page_counts(world: World) -> None:
    world.arm.assignments.clear()
    world.arm.page = 1
    world.arm.grant(role="/providers/Microsoft.Authorization/roleDefinitions/other")
    world.arm.grant()
    assert await unmet(world) == []


async def test_not_being_allowed_to_look_is_a_condition_too(world: World) -> None:
    world.arm.faults.append(Fault("roleAssignments", status=403))
    assert await unmet(world) == ["WorkspaceReadable"]


@pytest.mark.parametrize(
    ("kind", "annotation", "several"),
    [
        (ProjectKind.SINGLE_LABEL, "Classification", "Disabled"),
        (ProjectKind.MULTI_LABEL, "Classification", "Enabled"),
        (ProjectKind.ENTITIES, "NamedEntityRecognition", "Disabled"),
    ],
)
async def test_a_labeling_project_is_created_once_with_our_tag(
    world: World, kind: ProjectKind, annotation: str, several: str
) -> None:
    binding = replace(BINDING, instructions="https://example.org/how", vendor="v")
    for _ in range(2):
        assert await world.studio.create(world.target(kind=kind, binding=binding)) is None
    body = world.arm.job("news").body
    assert body["tags"] == {"labelbridge": "incarnation"}
    assert body["labelingJobMediaProperties"] == {"mediaType": "Text", "annotationType": annotation}
    (category,) = body["labelCategories"].values()
    assert (list(category["classes"]), category["multiSelect"]) == (["A", "B"], several)
    assert body["jobInstructions"] == {"uri": "https://example.org/how"}
    assert world.arm.calls[f"PUT {JOB}"] == 1
    asset = world.arm.resources[body["dataConfiguration"]["dataId"].lower()]
    uri = asset["properties"]["dataUri"]
    name = uri.removeprefix(LONG_URI).removesuffix("/paths/")
    assert uri == f"{LONG_URI}{name}/paths/", "as Microsoft's own client writes it"
    store = world.arm.resources[f"{workspace_id()}/datastores/{name}".lower()]["properties"]
    assert (store["containerName"], store["endpoint"]) == ("docs", "core.windows.net")


@pytest.mark.parametrize("endpoint", ["core.chinacloudapi.cn", "core.usgovcloudapi.net", None])
async def test_the_storage_suffix_is_that_of_the_workspace(world: World, endpoint: str | None) -> None:
    default = world.arm.resources[f"{workspace_id()}/datastores/workspaceblobstore".lower()]
    default["properties"]["endpoint"] = endpoint
    await world.studio.create(TARGET)
    store = world.arm.resources[f"{workspace_id()}/datastores/{world.studio.datastore(TARGET)}".lower()]
    assert store["properties"].get("endpoint") == endpoint


async def test_what_azure_does_not_accept_is_a_warning(world: World) -> None:
    binding = replace(BINDING, instructions="Label well.", vendor="v")
    assert await world.studio.create(world.target(binding=binding)) is None
    assert "jobInstructions" not in world.arm.job("news").body
    assert [w.target for w in world.studio.warnings(world.target(binding=binding))] == [
        "vendor",
        "instructions",
    ]


async def test_a_labeling_project_of_another_user_is_not_changed(world: World) -> None:
    await world.studio.create(world.target(owner="other"))
    before = dict(world.arm.job("news").body)
    with pytest.raises(StudioFailed, match="another user"):
        await world.studio.create(TARGET)
    assert await world.studio.release(TARGET) is None
    assert await world.studio.withdraw(TARGET) is None
    assert world.arm.job("news").body == before
    assert world.arm.job("news").status == "Running"


def test_every_state_of_a_labeling_job_is_known() -> None:
    assert set(ACCESS_BY_STATUS) == set(STATES)


@pytest.mark.parametrize("state", [*STATES, "SomethingNew"])
async def test_every_state_of_a_labeling_job_is_handled(world: World, state: str) -> None:
    await world.studio.create(TARGET)
    job = world.arm.job("news")
    for call in (world.studio.create, world.studio.close, world.studio.open):
        job.path = [state]
        job.messages = [{"level": "Error", "message": "The disk is full."}]
        if state in {"Failed", "Canceled"}:
            with pytest.raises(StudioFailed, match=f"{state}.*disk is full"):
                await call(TARGET)
        elif state in {"Running", "Completed", "Paused"}:
            assert await call(TARGET) is None
        else:
            answer = await call(TARGET)
            assert isinstance(answer, Waiting)
            assert f"'{state}'" in answer.reason
            assert job.status == state, "a job that moves is left to move"


async def test_pausing_and_resuming_take_their_time(world: World) -> None:
    world.arm.pausing = ["Queued", "Queued", "Paused"]
    world.arm.resuming = ["Queued", "Preparing", "Running"]
    await world.studio.create(TARGET)
    for change, pauses in ((world.studio.close, "Paused"), (world.studio.open, "Running")):
        answers = [await change(TARGET) for _ in range(4)]
        assert isinstance(answers[0], Waiting)
        assert answers[-1] is None
        assert world.arm.job("news").status == pauses
    world.arm.label("news", "a.txt", "A")
    world.arm.pausing = ["Paused"]
    assert await world.studio.close(TARGET) is None
    with pytest.raises(PermissionError):
        world.arm.label("news", "b.txt", "A")


async def test_creating_takes_its_time(world: World) -> None:
    world.arm.birth = ["NotStarted", "Preparing", "Running"]
    answers = [await world.studio.create(TARGET) for _ in range(3)]
    assert [type(a) for a in answers] == [Waiting, Waiting, type(None)]


async def test_release_pauses_and_untags_and_never_deletes(world: World) -> None:
    await world.studio.create(TARGET)
    world.arm.job("news").body["tags"]["team"] = "x"
    for _ in range(2):
        assert await world.studio.release(TARGET) is None
    job = world.arm.job("news")
    assert job.status == "Paused"
    assert job.body["tags"] == {"team": "x"}
    assert not [call for call in world.arm.calls if call.startswith("DELETE")]


async def test_a_deleted_labeling_project(world: World) -> None:
    assert await world.studio.release(TARGET) is None
    for call in (world.studio.close, world.studio.open):
        with pytest.raises(StudioFailed, match="does not exist"):
            await call(TARGET)


async def test_labels_come_back_through_an_export(world: World) -> None:
    world.arm.export_polls = 2
    await world.studio.create(TARGET)
    for n in range(1_001):
        world.arm.label("news", f"{n}.txt", "A")
    begun = (await world.studio.begin_export(TARGET)).note
    assert isinstance(await world.studio.export(TARGET, begun), Waiting)
    exported = await world.studio.export(TARGET, begun)
    assert isinstance(exported, Exported)
    files = [await world.tool.data(container, name) for container, name in exported.files]
    lines = [json.loads(line) for data in files if data for line in data.splitlines()]
    assert [line["image_url"] for line in lines] == [f"AmlDatastore://ds/{n}.txt" for n in range(1_001)]
    assert await world.studio.completed(TARGET) == 1_001


async def test_an_export_waits_as_long_as_azure_asks(world: World) -> None:
    world.arm.export_polls, world.arm.retry_after = 2, 17
    await world.studio.create(TARGET)
    export = await world.studio.begin_export(TARGET)
    assert export.waiting is not None
    assert export.waiting.seconds == 17
    assert await world.studio.export(TARGET, export.note) == export.waiting
    world.arm.export_polls, world.arm.retry_after = 2, None
    export = await world.studio.begin_export(TARGET)
    assert export.waiting is None
    waiting = await world.studio.export(TARGET, export.note)
    assert isinstance(waiting, Waiting)
    assert waiting.seconds == 5


async def test_an_export_finds_its_files_by_an_encoded_uri(world: World) -> None:
    await world.studio.create(TARGET)
    note = (await world.studio.begin_export(TARGET)).note
    asset = world.arm.resources[f"{workspace_id()}/data/news-1/versions/1".lower()]["properties"]
    asset["dataUri"] = asset["dataUri"].replace("news-1", "my%20labels")
    await world.tool.put("azureml-blobstore", "Labeling/export/dataset/my labels/x_1.jsonl", b"{}")
    exported = await world.studio.export(TARGET, note)
    assert exported == Exported((("azureml-blobstore", "Labeling/export/dataset/my labels/x_1.jsonl"),))


async def test_an_export_that_lost_its_files_is_not_an_empty_one(world: World) -> None:
    """Taken as empty, it would unlabel every document."""
    await world.studio.create(TARGET)
    world.arm.label("news", "a.txt", "A")
    note = (await world.studio.begin_export(TARGET)).note
    asset = world.arm.resources[f"{workspace_id()}/data/news-1/versions/1".lower()]["properties"]
    asset["dataUri"] = asset["dataUri"].replace("news-1", "elsewhere")
    with pytest.raises(StudioFailed, match="1 rows but no label files"):
        await world.studio.export(TARGET, note)


async def test_an_export_into_another_storage_account_is_refused(world: World) -> None:
    await world.studio.create(TARGET)
    begun = (await world.studio.begin_export(TARGET)).note
    store = world.arm.resources[f"{workspace_id()}/datastores/workspaceblobstore".lower()]
    store["properties"]["accountName"] = "elsewhere"
    with pytest.raises(StudioFailed, match="not in this storage account"):
        await world.studio.export(TARGET, begun)


async def test_no_address_but_azures_own_is_called(world: World) -> None:
    await world.studio.create(TARGET)
    begun = json.dumps({"asset": "", "poll": "http://169.254.169.254/metadata"})
    with pytest.raises(StudioFailed, match="another host"):
        await world.studio.export(TARGET, begun)


async def test_a_throttled_call_is_repeated_when_azure_says(world: World) -> None:
    world.arm.faults.append(Fault(f"PUT {JOB}$", status=429, retry_after=0, times=2))
    world.arm.faults.append(Fault("POST .*pause", status=429, retry_after=0, times=1))
    assert await world.studio.create(TARGET) is None
    assert await world.studio.close(TARGET) is None
    assert (world.arm.calls[f"PUT {JOB}"], world.arm.calls[f"POST {JOB}/pause"]) == (3, 2)


async def test_a_call_that_is_throttled_too_long_says_when_to_come_back(world: World) -> None:
    world.arm.faults.append(Fault("labelingJobs", status=429, times=99))
    with pytest.raises(Unavailable) as raised:
        await world.studio.create(TARGET)
    assert raised.value.retry_after == 10


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_failure_of_azure_is_repeated(world: World, status: int) -> None:
    world.arm.faults.append(Fault(f"GET {JOB}$", status=status, times=2))
    assert await world.studio.create(TARGET) is None


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_a_call_that_is_cut_off_is_repeated_and_acts_once(world: World, cut: str) -> None:
    world.arm.faults.append(Fault(f"PUT {JOB}$", cut=cut))
    assert await world.studio.create(TARGET) is None
    assert len(world.arm.jobs) == 1


async def test_an_azure_that_times_out_after_acting_is_resumed(world: World) -> None:
    """The POST is not repeated by the pipeline; the next look finds what it did."""
    await world.studio.create(TARGET)
    stuck = asyncio.Event()
    world.arm.faults.append(Fault("POST .*pause", cut="after"))
    with pytest.raises(Unavailable):
        await world.studio.close(TARGET)
    assert world.arm.job("news").status == "Paused"
    assert await world.studio.close(TARGET) is None
    world.arm.faults.append(Fault("POST .*resume", late=stuck))
    with pytest.raises(Unavailable):
        await world.studio.open(TARGET)
    stuck.set()


async def test_a_refusal_is_final_and_tells_azures_words(world: World) -> None:
    world.arm.faults.append(
        Fault(f"PUT {JOB}$", status=400, body={"error": {"code": "UserError", "message": "No compute."}})
    )
    with pytest.raises(StudioFailed, match=r"UserError.*No compute"):
        await world.studio.create(TARGET)
    world.arm.faults.append(Fault(f"GET {JOB}$", status=403))
    with pytest.raises(StudioFailed, match="denied access"):
        await world.studio.create(TARGET)


async def test_switching_back_needs_the_callers_right_on_the_workspace(world: World) -> None:
    world.arm.permissions = {
        "lead": [{"actions": ["Microsoft.MachineLearningServices/workspaces/*"], "notActions": []}],
        "labeler": [{"actions": ["Microsoft.MachineLearningServices/workspaces/labeling/labels/write"]}],
    }
    await world.studio.require_may_switch(TARGET, StaticToken("lead"))
    with pytest.raises(Forbidden, match="projects/write"):
        await world.studio.require_may_switch(TARGET, StaticToken("labeler"))
    with pytest.raises(Forbidden, match="bearer token"):
        await world.studio.require_may_switch(TARGET, None)
    assert {"lead", "labeler"} <= set(world.arm.tokens), "asked with the caller's own token"


def test_a_right_that_one_role_takes_away_another_may_give() -> None:
    lead = {"actions": ["*"], "notActions": ["Microsoft.MachineLearningServices/*/labeling/projects/WRITE"]}
    assert not allows([lead], SWITCH_ACTION)
    assert allows([lead, {"actions": [SWITCH_ACTION]}], SWITCH_ACTION)
    assert not allows([], SWITCH_ACTION)
