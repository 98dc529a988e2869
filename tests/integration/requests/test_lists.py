"""Parameters and continuation tokens of lists."""

import pytest

from tests.integration.conftest import MakeProject
from tests.integration.requests.answers import A, error
from tests.support.api import Json, Project


@pytest.mark.parametrize(
    ("query", "target"),
    [
        ({"top": "0"}, "top"),
        ({"top": "-1"}, "top"),
        ({"top": "1e9"}, "top"),
        ({"top": "1000000000"}, "top"),
        ({"top": "ten"}, "top"),
        ({"orderby": "random"}, "orderby"),
        ({"status": "done"}, "status"),
        ({"dataset": "Validation"}, "dataset"),
        ({"continuationToken": "AAAA"}, "continuationToken"),
        ({"continuationToken": "!"}, "continuationToken"),
        ({"continuationToken": "\u00e4"}, "continuationToken"),
        ({"continuationToken": "A" * 4001}, "continuationToken"),
    ],
)
async def test_a_bad_query_names_the_parameter(sample: Project, query: Json, target: str) -> None:
    answer = await sample.http.get(f"{sample.path}/documents", params=query)
    assert error(answer) == (400, "InvalidArgument", target)


async def test_outcomes_are_filtered_and_paged_by_the_filter(new_project: MakeProject) -> None:
    project = await new_project()
    texts = {f"{n}.txt": f"@Refund:8{n}" if n % 2 else "nothing here" for n in range(6)}
    await project.suggested(texts, "Refund")
    [job] = (await project.get("/autolabel/jobs"))["value"]
    path = f"/autolabel/jobs/{job['jobId']}/documents"
    whole = (await project.get(path))["value"]
    wanted = [row for row in whole if row["outcome"] == "suggested"]

    first = await project.get(path, outcome="suggested", top=2)
    token = first["continuationToken"]
    rest = await project.get(path, outcome="suggested", top=2, continuationToken=token)

    assert (len(wanted), first["value"] + rest["value"]) == (3, wanted)
    assert (await project.get(path, outcome="failed"))["value"] == []
    for query, target in (
        ({"outcome": "done"}, "outcome"),
        ({"continuationToken": token}, "continuationToken"),
    ):
        answer = await project.http.get(f"{project.path}{path}", params=query)
        assert error(answer) == (400, "InvalidArgument", target)


async def test_a_token_works_only_for_the_query_and_project_it_was_given_for(
    sample: Project, new_project: MakeProject
) -> None:
    token = (await sample.get("/documents", top=1))["continuationToken"]
    assert len((await sample.get("/documents", top=1, continuationToken=token))["value"]) == 1
    other = await new_project()

    altered = ("A" if token[0] != "A" else "B") + token[1:]
    for path, query in (
        (sample.path, {"continuationToken": altered}),
        (sample.path, {"continuationToken": token[:-4]}),
        (sample.path, {"continuationToken": token + "AAAA"}),
        (sample.path, {"continuationToken": token + "="}),
        (sample.path, {"continuationToken": token + "\n"}),
        (sample.path, {"continuationToken": token, "orderby": "location"}),
        (sample.path, {"continuationToken": token, "status": "labeled"}),
        (other.path, {"continuationToken": token}),
    ):
        answer = await sample.http.get(f"{path}/documents", params=query)
        assert error(answer) == (400, "InvalidArgument", "continuationToken")
    for path in (f"{sample.path}/autolabel/jobs", f"{sample.path}/documents/{A}/history"):
        answer = await sample.http.get(path, params={"continuationToken": token})
        assert error(answer) == (400, "InvalidArgument", "continuationToken")
