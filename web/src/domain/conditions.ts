/** What must hold before a project may be connected. */

export interface Condition {
  readonly code: string;
  readonly met: boolean;
  readonly message: string;
}

export function readConditions(answer: Record<string, unknown>): Condition[] {
  const rows = (answer["conditions"] ?? []) as Record<string, unknown>[];
  return rows.map((row) => ({
    code: String(row["code"]),
    met: row["met"] === true,
    message: String(row["message"]),
  }));
}
