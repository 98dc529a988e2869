import { describe, expect, it } from "vitest";
import type { Work } from "../src/api/team";
import { byPerson, dayBefore, dayName } from "../src/domain/work";

const day = (date: string, by: string, documents: number): Work => ({
  date,
  by,
  documents,
  accepted: documents,
  rejected: 0,
  labeled: 1,
  bulk: 0,
  undone: 0,
});

describe("work", () => {
  it("adds up the days of each person, most documents first", () => {
    const work = [day("2026-11-29", "Ben", 2), day("2026-11-29", "Ana", 1), day("2026-11-28", "Ana", 4)];
    expect(byPerson(work).map((p) => [p.by, p.documents, p.accepted, p.labeled])).toEqual([
      ["Ana", 5, 5, 2],
      ["Ben", 2, 2, 1],
    ]);
  });

  it("counts days in UTC, today included", () => {
    const now = Date.parse("2026-11-29T00:30:00Z");
    expect(dayBefore(1, now)).toBe("2026-11-29");
    expect(dayBefore(30, now)).toBe("2026-10-31");
    expect(dayName("2026-11-29")).toBe("Sun, Nov 29");
  });
});
