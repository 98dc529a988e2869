import { describe, expect, it } from "vitest";
import type { Kind, Suggestion } from "../src/api/types";
import {
  add,
  change,
  differences,
  entitiesOf,
  fitter,
  NOTHING,
  readLabels,
  remove,
  sameLabels,
  writeLabels,
} from "../src/domain/labels";

const SINGLE: Kind = "CustomSingleLabelClassification";
const MULTI: Kind = "CustomMultiLabelClassification";
const ENTITIES: Kind = "CustomEntityRecognition";
const suggestion = (part: Partial<Suggestion>): Suggestion => ({
  id: "s",
  category: "A",
  confidence: 0.5,
  ...part,
});

describe("label fields", () => {
  it.each([
    [SINGLE, { class: { category: "A" } }],
    [SINGLE, { class: { category: null } }],
    [SINGLE, { class: null }],
    [MULTI, { classes: [{ category: "A" }, { category: "B" }] }],
    [MULTI, { classes: [] }],
    [MULTI, { classes: null }],
    [
      ENTITIES,
      { entities: [{ regionOffset: 0, regionLength: 9, labels: [{ category: "A", offset: 2, length: 3 }] }] },
    ],
    [ENTITIES, { entities: [{ regionOffset: 4, regionLength: 5, labels: [] }] }],
    [ENTITIES, { entities: null }],
  ] as const)("of %s survive reading and writing: %j", (kind, fields) => {
    expect(writeLabels(readLabels(fields as never, kind), kind)).toEqual(fields);
  });

  it("tell “no label applies” from not labeled", () => {
    expect(readLabels({ classes: [] }, MULTI)).toEqual(NOTHING);
    expect(readLabels({}, MULTI)).toBeNull();
    expect(sameLabels(NOTHING, null)).toBe(false);
  });
});

describe("a label that is there already", () => {
  const ada = { category: "A", offset: 0, length: 3 };
  const labels = { categories: [], regions: [{ offset: 0, length: 9, labels: [ada] }] };

  it("is not added twice", () => {
    expect(add(labels, [ada, ada], ENTITIES, 9)).toEqual(labels);
    expect(entitiesOf(add(null, [ada, ada], ENTITIES, 9))).toEqual([ada]);
    expect(add({ categories: ["A"], regions: [] }, [{ category: "A" }], MULTI, 9).categories).toEqual(["A"]);
  });

  it("is not there twice after a change", () => {
    const two = add(labels, [{ ...ada, category: "B" }], ENTITIES, 9);
    expect(entitiesOf(change(two, ada, "B"))).toEqual([{ ...ada, category: "B" }]);
    expect(change({ categories: ["A", "B"], regions: [] }, { category: "A" }, "B")?.categories).toEqual([
      "B",
    ]);
  });
});

describe("differences", () => {
  it("are what only one version has", () => {
    const version = (...names: string[]) =>
      add(
        null,
        names.map((category, n) => ({ category, offset: 10 * n, length: 3 })),
        ENTITIES,
        99,
      );
    const found = differences(version("A", "B"), version("A", "C"));
    expect(found.shared).toBe(1);
    expect([found.mine.map((p) => p.category), found.theirs.map((p) => p.category)]).toEqual([["B"], ["C"]]);
    expect(differences(null, NOTHING)).toEqual({ mine: [], theirs: [], shared: 0 });
  });
});

describe("adding", () => {
  it("replaces the class where there is one", () => {
    expect(add({ categories: ["A"], regions: [] }, [{ category: "B" }], SINGLE, 9).categories).toEqual(["B"]);
  });

  it("puts an entity into the region that holds it and leaves the others alone", () => {
    const regions = [
      { offset: 0, length: 10, labels: [] },
      { offset: 20, length: 10, labels: [] },
    ];
    const labels = add({ categories: [], regions }, [{ category: "A", offset: 22, length: 3 }], ENTITIES, 40);
    expect(labels.regions.map((r) => r.labels.length)).toEqual([0, 1]);
  });

  it("makes one region of the whole document when no region holds the entity", () => {
    const regions = [{ offset: 0, length: 10, labels: [{ category: "A", offset: 1, length: 2 }] }];
    const labels = add({ categories: [], regions }, [{ category: "B", offset: 8, length: 5 }], ENTITIES, 40);
    expect(labels.regions).toHaveLength(1);
    expect(labels.regions[0]).toMatchObject({ offset: 0, length: 40 });
    expect(entitiesOf(labels).map((e) => e.category)).toEqual(["A", "B"]);
  });
});

describe("removing and changing", () => {
  const labels = {
    categories: [],
    regions: [{ offset: 0, length: 9, labels: [{ category: "A", offset: 1, length: 2 }] }],
  };

  it("leaves an empty region: no label applies", () => {
    expect(remove(labels, { category: "A", offset: 1, length: 2 })?.regions).toEqual([
      { offset: 0, length: 9, labels: [] },
    ]);
  });

  it("needs category and span to be the same", () => {
    expect(remove(labels, { category: "A", offset: 1, length: 3 })).toEqual(labels);
    expect(remove(labels, { category: "B", offset: 1, length: 2 })).toEqual(labels);
  });

  it("changes the category of one span", () => {
    expect(entitiesOf(change(labels, { category: "A", offset: 1, length: 2 }, "B"))).toEqual([
      { category: "B", offset: 1, length: 2 },
    ]);
  });
});

describe("a suggestion fits", () => {
  it("an unlabeled document, for one class a document", () => {
    expect(fitter({ categories: ["B"], regions: [] }, SINGLE)(suggestion({}))).toBe(false);
    expect(fitter(NOTHING, SINGLE)(suggestion({}))).toBe(false);
    expect(fitter(null, SINGLE)(suggestion({}))).toBe(true);
  });

  it("unless it repeats a class", () => {
    expect(fitter({ categories: ["B"], regions: [] }, MULTI)(suggestion({}))).toBe(true);
    expect(fitter({ categories: ["A"], regions: [] }, MULTI)(suggestion({}))).toBe(false);
  });

  it.each([
    [0, 2, true],
    [0, 3, false],
    [4, 1, false],
    [5, 2, true],
  ])("unless it overlaps an entity: %i+%i", (offset, length, expected) => {
    const labels = {
      categories: [],
      regions: [{ offset: 0, length: 9, labels: [{ category: "A", offset: 2, length: 3 }] }],
    };
    expect(fitter(labels, ENTITIES)(suggestion({ offset, length }))).toBe(expected);
  });
});

describe("whether a suggestion fits among many entities", () => {
  it("is what comparing it with each of them gives", () => {
    const spans = Array.from({ length: 60 }, (_, n) => ({
      category: "A",
      offset: (n * 37) % 200,
      length: 1 + (n % 9),
    }));
    const labels = { categories: [], regions: [{ offset: 0, length: 300, labels: spans }] };
    const fits = fitter(labels, ENTITIES);
    for (let offset = 0; offset < 220; offset++) {
      const expected = !spans.some((s) => s.offset < offset + 2 && offset < s.offset + s.length);
      expect(fits(suggestion({ offset, length: 2 }))).toBe(expected);
    }
  });
});
