import { describe, expect, it } from "vitest";
import type { Kind, Suggestion } from "../src/api/types";
import {
  changes,
  derive,
  isIdle,
  pending,
  withoutLastStep,
  withStep,
  type Base,
  type Draft,
  type Step,
} from "../src/domain/draft";
import { entitiesOf } from "../src/domain/labels";

const SINGLE: Kind = "CustomSingleLabelClassification";
const MULTI: Kind = "CustomMultiLabelClassification";
const ENTITIES: Kind = "CustomEntityRecognition";
const suggested = (id: string, category: string, offset?: number, length?: number): Suggestion => ({
  id,
  category,
  confidence: 0.5,
  ...(offset === undefined || length === undefined ? {} : { offset, length }),
});
const base = (suggestions: Suggestion[], part: Partial<Base> = {}): Base => ({
  eTag: '"1.1"',
  labels: null,
  suggestions,
  dataset: "Train",
  length: 30,
  ...part,
});
const draft = (b: Base, ...steps: Step[]): Draft =>
  steps.reduce((d, step, at) => withStep(d, step, at), {
    documentId: "d",
    location: "d.txt",
    base: b,
    steps: [],
  } as Draft);

describe("decisions", () => {
  const entities = base([suggested("a", "Person", 0, 5), suggested("b", "City", 10, 4)]);

  it("make labels of what is accepted and name both lists for the server", () => {
    const d = draft(entities, { do: "accept", ids: ["a"] }, { do: "reject", ids: ["b"] });
    expect(changes(d, ENTITIES)).toMatchObject({ accept: ["a"], reject: ["b"] });
    expect(entitiesOf(changes(d, ENTITIES).labels)).toEqual([{ category: "Person", offset: 0, length: 5 }]);
  });

  it("leave nothing behind when they are undone", () => {
    const d = draft(entities, { do: "accept", ids: ["a"] }, { do: "reopen", ids: ["a"] });
    expect(isIdle(d, ENTITIES)).toBe(true);
    expect(changes(d, ENTITIES).labels).toBeNull();
  });

  it("are undone step by step", () => {
    const d = draft(entities, { do: "accept", ids: ["a", "b"] }, { do: "dataset", dataset: "Test" });
    expect(changes(withoutLastStep(d), ENTITIES)).toMatchObject({ accept: ["a", "b"], dataset: null });
    expect(isIdle(withoutLastStep(withoutLastStep(d)), ENTITIES)).toBe(true);
  });

  it("ignore suggestions that do not exist or are accepted twice", () => {
    const d = draft(entities, { do: "accept", ids: ["a", "zzz"] }, { do: "accept", ids: ["a"] });
    expect(entitiesOf(changes(d, ENTITIES).labels)).toHaveLength(1);
  });

  it("accept of suggestions that exclude each other the first, in whichever order they are named", () => {
    const accepted = (kind: Kind, suggestions: Suggestion[]): string[] => {
      const all = { do: "accept", ids: suggestions.map((s) => s.id) } as const;
      return changes(draft(base(suggestions), all), kind).accept;
    };
    const [a, b, c, d] = [
      suggested("a", "X", 10, 5),
      suggested("b", "X", 12, 9),
      suggested("c", "Y", 0, 11),
      suggested("d", "Y", 15, 3),
    ];
    expect(accepted(ENTITIES, [a, b, c, d])).toEqual(["a", "d"]);
    expect(accepted(ENTITIES, [d, c, b, a])).toEqual(["d", "c"]);
    expect(accepted(MULTI, [suggested("a", "X"), suggested("b", "Y"), suggested("c", "X")])).toEqual([
      "a",
      "b",
    ]);
    expect(accepted(SINGLE, [suggested("a", "X"), suggested("b", "Y")])).toEqual(["a"]);
  });

  it("turn a relabeled suggestion into a rejection and a label of the same span", () => {
    const d = draft(entities, { do: "relabel", id: "a", category: "Skill" });
    expect(changes(d, ENTITIES)).toMatchObject({ accept: [], reject: ["a"] });
    expect(entitiesOf(changes(d, ENTITIES).labels)).toEqual([{ category: "Skill", offset: 0, length: 5 }]);
  });
});

describe("what waits", () => {
  it("leaves out what a label by hand now overlaps", () => {
    const b = base([suggested("a", "Person", 0, 5), suggested("b", "City", 10, 4)]);
    const steps: Step[] = [{ do: "add", place: { category: "X", offset: 3, length: 4 } }];
    expect(pending(b, derive(b, steps, ENTITIES), ENTITIES).map((s) => s.id)).toEqual(["b"]);
  });

  it("is nothing once a single-label document has its class", () => {
    const b = base([suggested("a", "Billing")]);
    expect(pending(b, derive(b, [{ do: "add", place: { category: "Praise" } }], SINGLE), SINGLE)).toEqual([]);
  });
});

describe("states of a document", () => {
  it("tell nothing from not labeled", () => {
    const b = base([]);
    expect(derive(b, [{ do: "nothing" }], MULTI).labels).toEqual({ categories: [], regions: [] });
    expect(derive(b, [{ do: "nothing" }, { do: "unlabel" }], MULTI).labels).toBeNull();
    expect(isIdle(draft(b, { do: "nothing" }), MULTI)).toBe(false);
  });

  it("keep regions when entities are cleared", () => {
    const labels = {
      categories: [],
      regions: [{ offset: 5, length: 9, labels: [{ category: "A", offset: 6, length: 1 }] }],
    };
    expect(derive(base([], { labels }), [{ do: "nothing" }], ENTITIES).labels?.regions).toEqual([
      { offset: 5, length: 9, labels: [] },
    ]);
  });

  it("become not labeled when the one class is taken away", () => {
    const labels = { categories: ["A"], regions: [] };
    expect(
      derive(base([], { labels }), [{ do: "remove", place: { category: "A" } }], SINGLE).labels,
    ).toBeNull();
  });

  it("say the dataset only when it changes", () => {
    const d = draft(base([]), { do: "dataset", dataset: "Test" }, { do: "dataset", dataset: "Train" });
    expect(isIdle(d, MULTI)).toBe(true);
  });
});

describe("no label applies", () => {
  it.each([SINGLE, MULTI])("is an empty label in %s and rejects every suggestion", (kind) => {
    const b = base([suggested("s", "A"), suggested("t", "B")]);
    const derived = derive(b, [{ do: "accept", ids: ["s"] }, { do: "nothing" }], kind);
    expect(derived.labels).toEqual({ categories: [], regions: [] });
    expect([...derived.verdicts.values()]).toEqual(["rejected", "rejected"]);
    expect(pending(b, derived, kind)).toEqual([]);
  });

  it("keeps the regions of entities", () => {
    const b = base([suggested("s", "A", 0, 3)]);
    const derived = derive(b, [{ do: "nothing" }], ENTITIES);
    expect(derived.labels?.regions).toEqual([{ offset: 0, length: 30, labels: [] }]);
    expect(changes(draft(b, { do: "nothing" }), ENTITIES).reject).toEqual(["s"]);
  });
});
