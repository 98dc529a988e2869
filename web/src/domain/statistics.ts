/** The counts of a project, read from the API in the form that the charts use. */

import type { Status } from "../api/types";

export interface Band {
  readonly from: number;
  readonly to: number;
  readonly accepted: number;
  readonly rejected: number;
}

export interface Statistics {
  readonly total: number;
  /** Documents whose blob is gone. */
  readonly missing: number;
  readonly flagged: number;
  readonly byStatus: Readonly<Record<Status, number>>;
  readonly byCategory: readonly { readonly category: string; readonly count: number }[];
  readonly calibration: readonly Band[];
}

type Raw = Record<string, unknown>;

export function readStatistics(raw: Raw): Statistics {
  const counts = (raw["documents"] ?? {}) as Record<string, number>;
  const byStatus = {
    labeled: counts["labeled"] ?? 0,
    autoLabeled: counts["autoLabeled"] ?? 0,
    unlabeled: counts["unlabeled"] ?? 0,
    rejected: counts["rejected"] ?? 0,
  };
  const total = Object.values(byStatus).reduce((sum, n) => sum + n, 0);
  return {
    total,
    missing: counts["missing"] ?? 0,
    flagged: counts["flagged"] ?? 0,
    byStatus,
    byCategory: categories(raw["categories"]),
    calibration: bands(raw["calibration"]),
  };
}

function categories(raw: unknown): Statistics["byCategory"] {
  const rows = (Array.isArray(raw) ? raw : []) as Raw[];
  return rows.map((r) => ({ category: String(r["category"]), count: Number(r["labels"] ?? 0) }));
}

function bands(raw: unknown): Band[] {
  const rows = (Array.isArray(raw) ? raw : []) as Raw[];
  return rows.map((r) => ({
    from: Number(r["minConfidence"] ?? 0),
    to: Number(r["maxConfidence"] ?? 1),
    accepted: Number(r["accepted"] ?? 0),
    rejected: Number(r["rejected"] ?? 0),
  }));
}
