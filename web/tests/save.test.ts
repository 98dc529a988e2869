import { beforeEach, describe, expect, it, vi } from "vitest";
import type { DocumentItem, Kind, SaveResult } from "../src/api/types";
import { baseOf, withStep, type Draft, type Step } from "../src/domain/draft";

const calls: string[] = [];
const answers = {
  review: vi.fn<(decisions: { documentId: string; eTag: string }[]) => Promise<SaveResult[]>>(),
  labels: vi.fn<(id: string, labels: unknown, eTag: string) => Promise<DocumentItem>>(),
  patch: vi.fn<(id: string, body: unknown, eTag: string) => Promise<DocumentItem>>(),
};
vi.mock("../src/api/client", () => ({
  saveDecisions: (_: string, decisions: { documentId: string; eTag: string }[]) => {
    calls.push(`review ${decisions.map((d) => `${d.documentId}${d.eTag}`).join(" ")}`);
    return answers.review(decisions);
  },
  patchDocument: (_: string, id: string, body: unknown, eTag: string) => {
    calls.push(`patch ${id}${eTag}`);
    return answers.patch(id, body, eTag);
  },
}));
const { save } = await import("../src/state/save");
type Saved = import("../src/state/save").Saved;
const { ApiError } = await import("../src/api/http");

const source = {
  project: "p",
  blind: false,
  putLabels: (id: string, labels: unknown, eTag: string) => {
    calls.push(`labels ${id}${eTag}`);
    return answers.labels(id, labels, eTag);
  },
};
const SINGLE: Kind = "CustomSingleLabelClassification";
const MULTI: Kind = "CustomMultiLabelClassification";
const document = (id: string, eTag = "@1"): DocumentItem => ({
  id,
  location: `${id}.txt`,
  language: "en-us",
  dataset: "Train",
  status: "autoLabeled",
  eTag,
  contentChanged: false,
  missing: false,
  length: 9,
  flagged: false,
  suggestions: [{ id: `${id}-s`, category: "A", confidence: 0.5 }],
});
const draft = (id: string, kind: Kind, ...steps: Step[]): Draft =>
  steps.reduce((d, step, at) => withStep(d, step, at), {
    documentId: id,
    location: `${id}.txt`,
    base: baseOf(document(id), kind),
    steps: [],
  } as Draft);
const accepted = (id: string): Step => ({ do: "accept", ids: [`${id}-s`] });
const run = async (kind: Kind, drafts: Draft[]) => {
  const reports: { result: string; id: string; eTag?: string }[] = [];
  await save(source, kind, drafts, document, (outcome) =>
    reports.push({
      result: outcome.result,
      id: outcome.draft.documentId,
      ...(outcome.result === "saved" ? { eTag: outcome.document.eTag } : {}),
    }),
  );
  return reports;
};

beforeEach(() => {
  calls.length = 0;
  answers.review.mockImplementation(async (decisions) =>
    decisions.map(({ documentId }) => ({ documentId, status: "saved", eTag: "@2" })),
  );
  answers.labels.mockImplementation(async (id) => document(id, "@3"));
  answers.patch.mockImplementation(async (id) => document(id, "@4"));
});

describe("saving", () => {
  it("sends decisions of 100 documents a call", async () => {
    const drafts = Array.from({ length: 150 }, (_, n) => draft(`d${n}`, SINGLE, accepted(`d${n}`)));
    expect((await run(SINGLE, drafts)).every((r) => r.result === "saved" && r.eTag === "@2")).toBe(true);
    expect(calls.map((c) => c.split(" ").length - 1)).toEqual([100, 50]);
  });

  it("hands each answer's ETag on: decisions, labels, settings", async () => {
    const steps: Step[] = [
      accepted("d"),
      { do: "add", place: { category: "B" } },
      { do: "dataset", dataset: "Test" },
    ];
    expect(await run(MULTI, [draft("d", MULTI, ...steps)])).toEqual([
      { result: "saved", id: "d", eTag: "@4" },
    ]);
    expect(calls).toEqual(["review d@1", "labels d@2", "patch d@3"]);
  });

  it("reports each ETag that the document had, also when an outage comes between", async () => {
    const formers: (readonly string[])[] = [];
    const steps: Step[] = [
      accepted("d"),
      { do: "add", place: { category: "B" } },
      { do: "dataset", dataset: "Test" },
    ];
    const saves = (): Promise<void> =>
      save(source, MULTI, [draft("d", MULTI, ...steps)], document, (outcome) =>
        formers.push("former" in outcome ? outcome.former : []),
      );
    await saves();
    answers.patch.mockRejectedValue(new ApiError(503, { code: "ServiceUnavailable", message: "down" }));
    await expect(saves()).rejects.toThrow("down");
    expect(formers).toEqual([
      ["@1", "@2", "@3"],
      ["@1", "@2"],
    ]);
  });

  it("sends no labels where decisions give them", async () => {
    await run(MULTI, [draft("d", MULTI, accepted("d"))]);
    expect(calls).toEqual(["review d@1"]);
  });

  it("leaves changed content unconfirmed until a person confirms it", async () => {
    const changed = { ...document("d"), contentChanged: true };
    const flags: boolean[] = [];
    const kept = async (...steps: Step[]) =>
      save(
        source,
        MULTI,
        [draft("d", MULTI, ...steps)],
        () => changed,
        (outcome) => flags.push(outcome.result === "saved" && outcome.document.contentChanged),
      );
    await kept(accepted("d"));
    await kept(accepted("d"), { do: "confirm" });
    expect(flags).toEqual([true, false]);
    expect(answers.patch).toHaveBeenLastCalledWith("d", { contentChanged: false }, "@2");
  });

  it("reports each document alone", async () => {
    answers.review.mockImplementation(async () => [
      { documentId: "a", status: "saved", eTag: "@2" },
      { documentId: "b", status: "conflict", document: document("b", "@9") },
      { documentId: "c", status: "notFound" },
      { documentId: "d", status: "invalid", error: { code: "InvalidArgument", message: "no" } },
    ]);
    const drafts = ["a", "b", "c", "d"].map((id) => draft(id, SINGLE, accepted(id)));
    expect((await run(SINGLE, drafts)).map((r) => r.result)).toEqual([
      "saved",
      "conflict",
      "gone",
      "refused",
    ]);
  });

  it("stops at a lock, with what was saved before it reported", async () => {
    answers.labels.mockImplementation(async () => {
      throw new ApiError(409, {
        code: "Conflict",
        message: "locked",
        innererror: { code: "LabelingLocked" },
      });
    });
    const reports: string[] = [];
    const drafts = [
      draft("a", MULTI, accepted("a")),
      draft("b", MULTI, { do: "add", place: { category: "B" } }),
    ];
    await expect(
      save(source, MULTI, drafts, document, (outcome) =>
        reports.push(`${outcome.draft.documentId} ${outcome.result}`),
      ),
    ).rejects.toThrow("locked");
    expect(reports).toEqual(["a saved"]);
  });

  it("keeps labels that were refused as stale as a conflict with both versions", async () => {
    answers.labels.mockImplementation(async () => {
      throw new ApiError(409, { code: "Conflict", message: "stale" }, null, document("a", "@9"));
    });
    expect((await run(MULTI, [draft("a", MULTI, { do: "add", place: { category: "B" } })]))[0]?.result).toBe(
      "conflict",
    );
  });

  it("says of a conflict what was saved before it, and each version that there was", async () => {
    answers.labels.mockImplementation(async () => {
      throw new ApiError(409, { code: "Conflict", message: "stale" }, null, document("a", "@9"));
    });
    const reports: Saved[] = [];
    const steps: Step[] = [accepted("a"), { do: "add", place: { category: "B" } }];
    await save(source, MULTI, [draft("a", MULTI, ...steps)], document, (outcome) => reports.push(outcome));
    expect(reports).toMatchObject([
      { result: "conflict", changes: 1, former: ["@1", "@2"], theirs: { eTag: "@9" } },
    ]);
  });

  it("keeps what is left when an outage comes between two calls, on top of what was saved", async () => {
    answers.patch.mockImplementation(async () => {
      throw new ApiError(503, { code: "ServiceUnavailable", message: "down" });
    });
    const steps: Step[] = [
      accepted("d"),
      { do: "add", place: { category: "B" } },
      { do: "flag", flagged: true },
      { do: "note", note: "Why?" },
    ];
    const reports: Saved[] = [];
    await expect(
      save(source, MULTI, [draft("d", MULTI, ...steps)], document, (outcome) => reports.push(outcome)),
    ).rejects.toThrow("down");
    expect(reports.map((outcome) => outcome.result)).toEqual(["partly"]);
    const [partly] = reports as (Saved & { result: "partly" })[];
    expect(partly!.document.eTag).toBe("@3");
    expect(partly!.document.classes).toEqual([{ category: "A" }, { category: "B" }]);
    expect(partly!.left).toEqual([
      { do: "flag", flagged: true },
      { do: "note", note: "Why?" },
    ]);
  });

  it("takes our own decisions and labels, whose answers were lost, for saved, and goes on", async () => {
    const decided = { ...document("d", "@2"), suggestions: [], classes: [{ category: "A" }] };
    answers.review.mockImplementation(async () => [
      { documentId: "d", status: "conflict", document: decided },
    ]);
    answers.labels.mockImplementation(async () => {
      const now = { ...decided, eTag: "@3", classes: [{ category: "A" }, { category: "B" }] };
      throw new ApiError(409, { code: "Conflict", message: "stale" }, null, now);
    });
    const steps: Step[] = [
      accepted("d"),
      { do: "add", place: { category: "B" } },
      { do: "dataset", dataset: "Test" },
    ];
    expect((await run(MULTI, [draft("d", MULTI, ...steps)]))[0]?.result).toBe("saved");
    expect(calls).toEqual(["review d@1", "labels d@2", "patch d@3"]);
  });
});
