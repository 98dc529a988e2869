/** The conditions for connecting a project. */

export interface Condition {
  readonly code: string;
  readonly met: boolean;
  readonly message: string;
}

export function readConditions(answer: Record<string, unknown>): Condition[] {
  const rows = (answer["conditions"] ?? []) as Record<string, unknown>[];
  const conditions = rows.map((row) => ({
    code: String(row["code"]),
    met: row["met"] === true,
    message: String(row["message"]),
  }));
  // A name that was used up is not free, although the workspace no longer has it.
  const used = conditions.some((condition) => condition.code === "NeverConnected" && !condition.met);
  return conditions.filter((condition) => !(used && condition.met && condition.code === "NameIsFree"));
}
