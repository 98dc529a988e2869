"""Projects with content that is hard to display: long names, many categories, long and right-to-left texts.

Each is made once for a process, by `made`, for tests that only look at it.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from shared.domain.document import document_id
from tests.browser.conftest import MakeProject
from tests.support.api import ENTITIES, MULTI, SINGLE, Json, Project

#: As many categories as a project may have, with names as long as they may be.
MANY = [f"Category_{n:03d}_whose_name_has_the_fifty_characters_allowed"[:50] for n in range(200)]
LONG_PERSON = "Ana-Sophie.Waldburg-Hohenstein@example.com"
#: A name of several words.
WORDS = "Product question about a delivery that is too late"
LOCATION = f"folder-{'f' * 60}/file-{'n' * 60}.txt"
RIGHT_TO_LEFT = "مرحبا، @City:50 وصلت الفاتورة بعد الدفع @Person:90. שלום לכולם, the @City:70 order is late."
GUIDELINES = "# Rules\n\n" + "\n\n".join(
    f"## Rule {n}\n\n{'Averylongwordwithoutanyblanks' * 3} and *more*.\n\n| says |\n|---|\n| `money back` |"
    for n in range(8)
)
NOTE = "Ask_the_legal_department_" * 10 + "\nBefore Friday."

_made: dict[str, tuple[str, str, str]] = {}


async def made(
    name: str, new_project: MakeProject, kind: str, fill: Callable[[Project], Awaitable[None]]
) -> Project:
    """The project of this name, filled when it is first asked for."""
    if name not in _made:
        project = await long_named(await new_project(kind, create=False))
        await fill(project)
        _made[name] = (project.name, project.container, kind)
    blank = await new_project(kind, create=False)
    return Project(blank.http, blank.blobs, *_made[name])


async def long_named(project: Project) -> Project:
    project = Project(
        project.http, project.blobs, f"{project.name}{'x' * 50}"[:50], project.container, project.kind
    )
    await project.create(
        description="A description " + "that_goes_on_without_a_blank_" * 5,
        displayName="Letters of customers and what they are about, all of them",
    )
    names = [WORDS, "Person", "City", *MANY[:197]]
    body = {"value": [{"category": name} for name in names]}
    (await project.http.put(f"{project.path}/categories", json=body)).raise_for_status()
    guidelines = {"text": GUIDELINES}
    url = f"{project.path}/guidelines"
    (await project.http.put(url, json=guidelines, headers={"If-Match": "*"})).raise_for_status()
    return project


async def patch(project: Project, location: str, **body: Any) -> Json:
    url = f"{project.path}/documents/{document_id(location)}"
    answer = await project.http.patch(url, json=body, headers={"If-Match": "*"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def labels_of(kind: str, *categories: str) -> Json:
    """Labels of these categories; as entities, of the words of "word word …"."""
    if kind == SINGLE:
        return {"class": {"category": categories[0]}}
    if kind == MULTI:
        return {"classes": [{"category": name} for name in categories]}
    entities = [{"category": name, "offset": 5 * n, "length": 4} for n, name in enumerate(categories)]
    return {"entities": [{"regionOffset": 0, "regionLength": 5 * len(entities), "labels": entities}]}


async def classes(project: Project) -> None:
    """Documents with suggestions, labels, a note, a file that cannot be read, one that fails, and one that is gone."""
    long, *_ = MANY
    texts = {f"{n}.txt": f"@{name}:{50 + 7 * n} a letter" for n, name in enumerate((long, MANY[1], "City"))}
    multi = project.kind == MULTI
    texts[LOCATION] = (
        f"@{long}:40 " + (f"@{MANY[2]}:35 @City:30 " if multi else "") + "word " * 80 + "w" * 200
    )
    texts["rtl.txt"] = RIGHT_TO_LEFT
    labeled = ("labeled.txt", "again.txt")
    await project.upload(
        texts | dict.fromkeys(labeled, "word " * 40) | {"gone.txt": "word", "fails.txt": "@fail"}
    )
    await project.upload({"broken.txt": b"\xff\xfe\x00\xd8broken"})
    await project.scan()
    for location in labeled:
        await project.put_labels(location, labels_of(project.kind, MANY[0], MANY[1]))
    body = {"reviewer": "reviewer", "size": 2, "seed": 1}
    (await project.http.post(f"{project.path}/second-reviews", json=body)).raise_for_status()
    await project.put_labels("gone.txt", labels_of(project.kind, WORDS))
    await project.autolabel()
    await patch(project, LOCATION, flagged=True, note=NOTE)
    for person in ("reviewer", LONG_PERSON):
        await assign(project, person, 1)
    await project.blobs.delete(project.container, "gone.txt")
    await project.scan()


async def entities(project: Project) -> None:
    """477 suggestions in 20,000 characters; nested and adjacent labels; a region without labels; right to left."""
    span = f"@{MANY[3]}:73 with @City:41 and @Person:95, "
    many = "".join(f"@City:{30 + n % 60} lives at @Person:{40 + n % 50} in line {n}.\n" for n in range(235))
    text = f"{span}{span}@City:88 {many}"
    text += "word " * ((20_000 - len(text)) // 5)
    assert (text.count("@"), 19_990 < len(text) < 20_005) == (477, True)
    names = "Ada Lovelace lives in Oslo. "
    await project.upload(
        {"a.txt": text, "rtl.txt": RIGHT_TO_LEFT, LOCATION: names * 20, "words.txt": "word " * 40}
    )
    await project.scan()
    spans = [
        ("Person", 0, 12),
        (MANY[5], 0, 3),
        (MANY[6], 4, 8),
        ("City", 4, 8),
        (WORDS, 13, 5),
        ("City", 22, 4),
    ]
    found = [{"category": c, "offset": o, "length": n} for c, o, n in spans]
    regions = [
        {"regionOffset": 0, "regionLength": 27, "labels": found},
        {"regionOffset": 28, "regionLength": 56, "labels": []},
        {
            "regionOffset": 84,
            "regionLength": 28,
            "labels": [{"category": MANY[7], "offset": 84, "length": 12}],
        },
    ]
    await project.put_labels(LOCATION, {"entities": regions})
    await project.put_labels("words.txt", labels_of(ENTITIES, *MANY[:30]))
    await project.autolabel()
    await patch(project, LOCATION, flagged=True, note=NOTE)


async def assign(project: Project, assignee: str, count: int) -> None:
    body = {"assignee": assignee, "count": count, "filter": {"assignedTo": "@none"}}
    (await project.http.post(f"{project.path}/documents/:assign", json=body)).raise_for_status()
