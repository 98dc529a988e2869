"""The operations of a lead over HTTP."""

from datetime import UTC, datetime

from shared.domain.document import document_id
from tests.integration.conftest import MakeProject
from tests.support.api import ENTITIES, Json, Project, accept, client
from tests.support.hosts import KEY, Host


async def suggested(new_project: MakeProject, *locations: str) -> Project:
    project = await new_project()
    await project.suggested(dict.fromkeys(locations, "@Refund:73 please"), "Refund")
    return project


def today() -> str:
    return datetime.now(UTC).date().isoformat()


async def test_progress_tells_what_each_key_did(new_project: MakeProject, host: Host) -> None:
    first = today()
    project = await suggested(new_project, "a.txt", "b.txt", "c.txt")
    [accepted, rejected, labeled] = await project.documents(status="autoLabeled")
    await project.review([accept(accepted)])
    async with client(host.url, "reviewer") as other:
        answer = await other.post(
            f"{project.path}/documents/:review",
            json={"decisions": [{"documentId": rejected["id"], "eTag": rejected["eTag"], "rejectAll": True}]},
        )
        assert answer.status_code == 200, answer.text
        answer = await other.put(
            f"{project.path}/documents/{labeled['id']}/labels",
            json={"class": {"category": "Refund"}},
            headers={"If-Match": labeled["eTag"]},
        )
        assert answer.status_code == 200, answer.text

    answer = await project.get("/progress", fromDate=first, toDate=today())

    assert answer["complete"]
    counts = {
        day["by"]: {k: n for k, n in day.items() if isinstance(n, int) and n} for day in answer["value"]
    }
    # The local key also labeled the document that made the category known.
    assert counts[KEY] == {"documents": 2, "accepted": 1, "labeled": 1}
    assert counts["reviewer"] == {"documents": 2, "rejected": 1, "labeled": 1}
    assert await project.get("/progress", fromDate=first, toDate=today()) == answer


async def test_progress_comes_in_pages_and_refuses_what_is_no_day(
    new_project: MakeProject, host: Host
) -> None:
    project = await suggested(new_project, "a.txt")
    [document] = await project.documents(status="autoLabeled")
    async with client(host.url, "reviewer") as other:
        await Project(other, project.blobs, project.name, project.container).review([accept(document)])
    first = await project.get("/progress", top=1)
    rest = await project.get("/progress", top=1, continuationToken=first["continuationToken"])
    assert [day["by"] for day in first["value"] + rest["value"]] == sorted([KEY, "reviewer"])
    assert "continuationToken" not in rest

    async def refused(**query: str) -> Json:
        answer = await project.http.get(f"{project.path}/progress", params=query)
        assert answer.status_code == 400, answer.text
        return answer.json()["error"]

    assert (await refused(fromDate="yesterday"))["target"] == "fromDate"
    assert (await project.get("/progress", toDate="0001-01-02"))["value"] == []
    assert (await refused(fromDate="2026-02-02", toDate="2026-02-01"))["target"] == "fromDate"


async def test_a_project_without_work_has_no_days(new_project: MakeProject) -> None:
    project = await new_project()
    assert await project.get("/progress") == {"value": [], "complete": True}


async def test_documents_are_assigned_by_filter_and_listed(new_project: MakeProject, host: Host) -> None:
    project = await suggested(new_project, "a.txt", "b.txt", "c.txt", "d.txt")

    async def assign(**body: object) -> Json:
        answer = await project.http.post(f"{project.path}/documents/:assign", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    free = {"assignedTo": "@none", "status": "autoLabeled"}
    assert await assign(assignee="reviewer", count=3, filter=free) == {"assigned": 3, "more": True}
    assert await assign(assignee=KEY, filter=free) == {"assigned": 1, "more": False}
    assert await assign(assignee=KEY, filter=free) == {"assigned": 0, "more": False}
    async with client(host.url, "reviewer") as other:
        theirs = Project(other, project.blobs, project.name, project.container)
        mine = await theirs.documents(assignedTo="@me")
        assert {d["assignee"] for d in mine} == {"reviewer"}
        assert len(mine) == 3
        # Advice, not a lock: what is assigned to others can be reviewed.
        [foreign] = await theirs.documents(assignedTo=KEY)
        [result] = await theirs.review([accept(foreign)])
        assert result["status"] == "saved"
        refused = await other.post(f"{project.path}/documents/:assign", json={"assignee": "reviewer"})
        assert refused.status_code == 403
    counts = {None: (1, 0, 1), "reviewer": (3, 3, 0), KEY: (1, 0, 1)}
    found = (await project.get("/assignments"))["value"]
    assert {a["assignee"]: (a["documents"], a["autoLabeled"], a["labeled"]) for a in found} == counts
    assert await assign(assignee="@none", filter={"assignedTo": "reviewer"}) == {"assigned": 3, "more": False}
    assert await project.documents(assignedTo="reviewer") == []


async def test_the_same_key_assigns_the_same_documents(new_project: MakeProject) -> None:
    project = await suggested(new_project, "a.txt", "b.txt", "c.txt")
    body = {"assignee": "Ana", "count": 1, "filter": {"assignedTo": "@none"}}
    for _ in range(2):
        answer = await project.http.post(
            f"{project.path}/documents/:assign", json=body, headers={"Idempotency-Key": "once"}
        )
        assert answer.json() == {"assigned": 1, "more": True}
    assert len(await project.documents(assignedTo="Ana")) == 1


async def test_what_cannot_be_assigned_is_refused_by_field(new_project: MakeProject) -> None:
    project = await new_project()

    async def refused(**body: object) -> str:
        answer = await project.http.post(f"{project.path}/documents/:assign", json=body)
        assert answer.status_code == 400, answer.text
        return answer.json()["error"]["target"]

    assert await refused() == "assignee"
    assert await refused(assignee="") == "assignee"
    assert await refused(assignee="@me") == "assignee"
    assert await refused(assignee="Ana", count=1_001) == "count"
    assert await refused(assignee="Ana", filter={"state": "labeled"}) == "filter.state"


async def test_a_second_review_is_blind_and_its_disagreement_is_resolved(
    new_project: MakeProject, host: Host
) -> None:
    """The second person reads no label, suggestion or history of the first in any answer of the second review."""
    project = await new_project()
    await project.upload({"a.txt": "one", "b.txt": "two"})
    await project.scan()
    for name, category in (("a.txt", "Refund"), ("b.txt", "Login")):
        await project.put_labels(name, {"class": {"category": category}})
    answer = await project.http.post(
        f"{project.path}/second-reviews", json={"reviewer": "reviewer", "size": 2, "seed": 3}
    )
    assert answer.status_code == 201, answer.text
    review = f"/second-reviews/{answer.json()['id']}"
    assert [r["id"] for r in (await project.get("/second-reviews"))["value"]] == [answer.json()["id"]]
    key = document_id("a.txt")
    async with client(host.url, "reviewer") as other:
        theirs = Project(other, project.blobs, project.name, project.container)
        items = (await theirs.get(f"{review}/documents"))["value"]
        assert {tuple(sorted(item)) for item in items} == {("id", "location", "reviewed")}
        shown = await theirs.get(f"{review}/documents/{key}")
        assert shown == {
            "id": key, "location": "a.txt", "language": "en-us", "text": "one", "reviewed": False,
        }  # fmt: skip
        for rest in ("agreement", "disagreements"):
            refused = await other.get(f"{project.path}{review}/{rest}")
            assert refused.status_code == 403
        for name in ("a.txt", "b.txt"):
            saved = await other.put(
                f"{project.path}{review}/documents/{document_id(name)}/labels",
                json={"class": {"category": "Login"}},
            )
            assert saved.status_code == 204, saved.text
        assert (await theirs.get(f"{review}/documents/{key}"))["class"] == {"category": "Login"}
    refused = await project.http.put(
        f"{project.path}{review}/documents/{key}/labels", json={"class": {"category": "Login"}}
    )
    assert refused.status_code == 403  # only the second person
    assert "class" not in await project.get(f"{review}/documents/{key}")
    assert (await project.document("a.txt"))["class"] == {"category": "Refund"}

    agreement = await project.get(f"{review}/agreement")
    assert (agreement["documents"], agreement["agreed"], agreement["kappa"]) == (2, 1, 0.0)
    [apart] = (await project.get(f"{review}/disagreements"))["value"]
    assert (apart["documentId"], apart["firstBy"]) == (key, KEY)
    assert (apart["first"], apart["second"]) == (
        {"class": {"category": "Refund"}},
        {"class": {"category": "Login"}},
    )
    document = await project.document("a.txt")
    resolve = f"{project.path}{review}/documents/{key}/:resolve"
    missing = await project.http.post(resolve, json={"choice": "second"})
    assert missing.status_code == 428
    done = await project.http.post(resolve, json={"choice": "second"}, headers={"If-Match": document["eTag"]})
    assert done.json()["class"] == {"category": "Login"}
    stale = await project.http.post(resolve, json={"choice": "first"}, headers={"If-Match": document["eTag"]})
    assert stale.status_code == 409
    [apart] = (await project.get(f"{review}/disagreements"))["value"]
    assert (apart["resolution"]["by"], apart["resolution"]["labels"]) == (
        KEY,
        {"class": {"category": "Login"}},
    )
    back = await project.http.post(f"{project.path}{review}/documents/{key}/:reopen")
    assert back.json()["class"] == {"category": "Refund"}
    assert (await project.get(f"{review}/agreement"))["resolved"] == 0


async def test_spans_of_two_people_are_compared_by_f1(new_project: MakeProject, host: Host) -> None:
    project = await new_project(ENTITIES)
    await project.upload({"a.txt": "Ana lives in Rome"})
    await project.scan()

    def field(*spans: tuple[str, int, int]) -> Json:
        labels = [{"category": c, "offset": o, "length": n} for c, o, n in spans]
        return {"entities": [{"regionOffset": 0, "regionLength": 17, "labels": labels}]}

    await project.put_labels("a.txt", field(("Person", 0, 3), ("City", 13, 4)))
    answer = await project.http.post(
        f"{project.path}/second-reviews", json={"reviewer": "reviewer", "percent": 100}
    )
    review = f"/second-reviews/{answer.json()['id']}"
    key = document_id("a.txt")
    async with client(host.url, "reviewer") as other:
        path = f"{project.path}{review}/documents/{key}/labels"
        beyond = await other.put(path, json=field(("City", 15, 4)))
        assert beyond.status_code == 400
        saved = await other.put(path, json=field(("Person", 0, 3)))
        assert saved.status_code == 204, saved.text
    agreement = await project.get(f"{review}/agreement")
    assert (agreement["kappa"], agreement["f1"]) == (None, 2 / 3)
    assert [(c["category"], c["f1"]) for c in agreement["categories"]] == [("City", 0.0), ("Person", 1.0)]


async def test_what_is_no_second_review_is_refused(new_project: MakeProject) -> None:
    project = await new_project()

    async def refused(**body: object) -> tuple[int, str]:
        answer = await project.http.post(f"{project.path}/second-reviews", json=body)
        return answer.status_code, answer.json()["error"]["target"]

    assert await refused(reviewer="Ben") == (400, "size")
    assert await refused(reviewer="Ben", size=1, percent=5) == (400, "size")
    assert await refused(reviewer="Ben", size=501) == (400, "size")
    assert await refused(reviewer="Ben", size=5) == (400, "reviewer")
    answer = await project.http.get(f"{project.path}/second-reviews/unknown/documents")
    assert answer.status_code == 404
