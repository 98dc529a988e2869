/** Progress of people: days of UTC, and sums by person. */

import type { Work } from "../api/team";

const NUMBERS = ["documents", "accepted", "rejected", "labeled", "bulk", "undone"] as const;

export type Totals = Omit<Work, "date">;

/** The first of the last `days` days of UTC, today included: `2026-11-29`. */
export const dayBefore = (days: number, now = Date.now()): string =>
  new Date(now - (days - 1) * 86_400_000).toISOString().slice(0, 10);

/** The work of each person on all days together, most documents first. */
export function byPerson(work: readonly Work[]): Totals[] {
  const found = new Map<string, Totals>();
  for (const day of work) {
    const sum = found.get(day.by) ?? {
      by: day.by,
      documents: 0,
      accepted: 0,
      rejected: 0,
      labeled: 0,
      bulk: 0,
      undone: 0,
    };
    for (const name of NUMBERS) sum[name] += day[name];
    found.set(day.by, sum);
  }
  return [...found.values()].sort((a, b) => b.documents - a.documents || a.by.localeCompare(b.by));
}

/** A day of UTC as people write it: "Sun, Nov 29". */
export const dayName = (date: string): string =>
  new Date(`${date}T00:00:00Z`).toLocaleDateString("en", {
    weekday: "short",
    day: "numeric",
    month: "short",
    timeZone: "UTC",
  });
