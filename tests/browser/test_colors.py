"""Colors of categories: stable by name, readable, and distinct for the first dozen."""

from itertools import combinations
from math import dist

from playwright.async_api import expect

from tests.browser.conftest import MakeProject, OpenStudio
from tests.browser.studio import Studio
from tests.support.api import ENTITIES, Project

NAMES = [f"Kind{n}" for n in range(14)]
#: So many categories have colors of their own.
DISTINCT = 12

#: The color, the ground and the swatch of each category where it is shown: [place, category, color, ground, swatch].
_SHOWN = """() => {
  const found = [];
  const rgb = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const probe = document.createElement("i");
  document.body.append(probe);
  const colorOf = (style, name) => {
    probe.style.color = style.getPropertyValue(name);
    return rgb(getComputedStyle(probe).color);
  };
  const add = (place, name, e) => {
    const style = getComputedStyle(e);
    found.push([place, name, colorOf(style, "--category"), colorOf(style, "--category-wash")]);
  };
  for (const e of document.querySelectorAll(".category")) add(e.closest("a.row") ? "list" : "panel", e.title, e);
  for (const e of document.querySelectorAll("mark[data-category]")) add("text", e.dataset.category, e);
  probe.remove();
  return found;
}"""

type Color = tuple[float, float, float]


async def shown(studio: Studio) -> dict[str, tuple[Color, Color]]:
    """Color and ground by category; the same in the list, in the text and in the panel."""
    colors: dict[str, tuple[Color, Color]] = {}
    places: set[str] = set()
    for place, name, color, ground in await studio.page.evaluate(_SHOWN):
        places.add(place)
        pair = (tuple(color), tuple(ground))
        assert colors.setdefault(name, pair) == pair, (place, name)
    assert places == {"list", "panel", "text"}
    return colors


def light(color: Color) -> list[float]:
    """The color in linear light, each part from 0 to 1."""
    parts = (part / 255 for part in color)
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def contrast(color: Color, other: Color) -> float:
    """Of WCAG 2: from 1 to 21."""
    shades = sorted(
        sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), light(c), strict=True)) for c in (color, other)
    )
    return (shades[1] + 0.05) / (shades[0] + 0.05)


def seen(color: Color) -> list[float]:
    """The color in Oklab, where distances are as people see them."""
    rgb = light(color)
    cone = ((0.4122, 0.5363, 0.0514), (0.2119, 0.6807, 0.1074), (0.0883, 0.2817, 0.6300))
    lms = [sum(w * p for w, p in zip(row, rgb, strict=True)) ** (1 / 3) for row in cone]
    lab = ((0.2105, 0.7936, -0.0041), (1.9780, -2.4286, 0.4506), (0.0259, 0.7828, -0.8087))
    return [sum(w * p for w, p in zip(row, lms, strict=True)) for row in lab]


async def define(project: Project, names: list[str]) -> None:
    body = {"value": [{"category": name} for name in names]}
    (await project.http.put(f"{project.path}/categories", json=body)).raise_for_status()


async def test_colors_are_stable_readable_and_distinct(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(ENTITIES)
    await define(project, NAMES[:DISTINCT])
    text = " and ".join(f"@{name}:{60 + n}" for n, name in enumerate(NAMES[:DISTINCT]))
    await project.upload({"a.txt": text, "~.txt": "done"})
    await project.scan()
    labels = [{"category": NAMES[0], "offset": 0, "length": 4}]
    await project.put_labels(
        "~.txt", {"entities": [{"regionOffset": 0, "regionLength": 4, "labels": labels}]}
    )
    await project.autolabel()
    studio = await open_studio()
    page = studio.page
    await studio.go(project.name, "review")
    await expect(studio.text).to_have_text(text)
    await expect(page.get_by_role("link", name="a.txt")).to_contain_text(NAMES[0])
    by_scheme: dict[str, dict[str, tuple[Color, Color]]] = {}
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        paper = await page.evaluate("getComputedStyle(document.querySelector('.text-pane')).backgroundColor")
        by_scheme[scheme] = colors = await shown(studio)
        assert set(colors) == set(NAMES[:DISTINCT])
        ground = tuple(float(part) for part in paper[4:-1].split(","))
        assert len(ground) == 3
        for name, (color, wash) in colors.items():
            assert contrast(color, wash) >= 4.5, (scheme, name)
            assert contrast(color, ground) >= 4.5, (scheme, name)
        closest = min(dist(seen(a), seen(b)) for (a, _), (b, _) in combinations(colors.values(), 2))
        assert closest > 0.05, scheme
    assert by_scheme["light"] != by_scheme["dark"]

    await define(project, [NAMES[13], *NAMES[:DISTINCT], NAMES[12]])
    reader = await open_studio("reader", scheme="dark")
    await reader.go(project.name, "label", "?prefix=a")
    await expect(reader.text).to_have_text(text)
    later = await shown(reader)
    assert {name: later[name] for name in NAMES[:DISTINCT]} == by_scheme["dark"]
