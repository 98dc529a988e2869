import { expect, it, vi } from "vitest";
import type { HistoryItem } from "../src/api/types";

vi.mock("../src/api/client", () => ({}));
const { undoable } = await import("../src/review/document-facts");

/** Rows of these actions, the newest first. */
const rows = (...actions: string[]): HistoryItem[] =>
  actions.map((action, n) => ({
    action,
    by: "Ana",
    dateTime: `2026-01-0${9 - n}T00:00:00Z`,
    details: {},
  }));

it.each([
  ["a decision", ["decided", "labelsSet"], 0],
  ["labels set, before another change than of labels", ["documentChanged", "labelsSet"], 1],
  ["nothing after an undo", ["labelsUndone", "labelsSet"], -1],
  ["nothing after labels came from the other studio", ["labelsImported", "decided"], -1],
  ["nothing after they were adopted", ["labelsAdopted", "decided"], -1],
  ["nothing of a project file", ["imported", "decided"], -1],
  ["nothing without changes", [], -1],
] as [string, string[], number][])("the history offers to undo %s", (_, actions, expected) => {
  expect(undoable(rows(...actions), null)).toBe(expected);
});

it("the history offers to undo nothing of before the last training", () => {
  expect(undoable(rows("decided"), "2026-01-10T00:00:00Z")).toBe(-1);
});
