/** Which documents the list shows; kept in the address so that a list can be shared and reloaded. */

import type { DocumentQuery } from "../api/client";

export interface Filters {
  readonly status: string;
  readonly category: string;
  readonly jobId: string;
  readonly dataset: string;
  readonly prefix: string;
  /** What the texts must contain. */
  readonly search: string;
  /** A person's name, `@me` or `@none`; empty: anyone's. */
  readonly assigned: string;
  /** A model, and the row and column of its confusion matrix that count the documents. */
  readonly model: string;
  readonly expected: string;
  readonly predicted: string;
  readonly order: "uncertainty" | "location" | "id";
  /** Id of the second review whose sample is shown; empty: the project's documents. */
  readonly second: string;
  readonly min: number;
  readonly max: number;
}

/** Chosen in place of a status: a document can have both. */
export const FLAGGED = "flagged";
const ORDERS = ["uncertainty", "location", "id"] as const;

/** The review begins with what the model knows least about; labeling by hand with every document by name. */
export function filtersFrom(query: URLSearchParams, review: boolean): Filters {
  const second = query.get("second") ?? "";
  if (second) return { ...filtersFrom(new URLSearchParams(), review), status: "all", order: "id", second };
  const order = ORDERS.find((o) => o === query.get("order"));
  return {
    status: query.get("status") ?? (review ? "autoLabeled" : "all"),
    category: query.get("category") ?? "",
    jobId: query.get("job") ?? "",
    dataset: query.get("dataset") ?? "",
    prefix: query.get("prefix") ?? "",
    search: query.get("search") ?? "",
    assigned: query.get("assigned") ?? "",
    model: query.get("model") ?? "",
    expected: query.get("expected") ?? "",
    predicted: query.get("predicted") ?? "",
    second,
    order: order ?? (review ? "uncertainty" : "location"),
    min: fraction(query.get("min"), 0),
    max: fraction(query.get("max"), 1),
  };
}

export function queryFrom(filters: Filters, review: boolean): Record<string, string | undefined> {
  if (filters.second) return { second: filters.second };
  const usual = filtersFrom(new URLSearchParams(), review);
  return {
    status: filters.status === usual.status ? undefined : filters.status,
    category: filters.category || undefined,
    job: filters.jobId || undefined,
    dataset: filters.dataset || undefined,
    prefix: filters.prefix || undefined,
    search: filters.search || undefined,
    assigned: filters.assigned || undefined,
    model: filters.model || undefined,
    expected: filters.expected || undefined,
    predicted: filters.predicted || undefined,
    order: filters.order === usual.order ? undefined : filters.order,
    min: filters.min > 0 ? String(filters.min) : undefined,
    max: filters.max < 1 ? String(filters.max) : undefined,
  };
}

/** How many filters narrow the list, besides the status, the search and a cell of a confusion matrix. */
export const narrowing = (f: Filters): number =>
  [f.category, f.jobId, f.dataset, f.prefix, f.assigned, f.min > 0 || f.max < 1].filter(Boolean).length;

export const apiQuery = (f: Filters): DocumentQuery => ({
  ...(f.status === FLAGGED ? { flagged: true } : f.status === "all" ? {} : { status: f.status }),
  ...(f.category ? { category: f.category } : {}),
  ...(f.jobId ? { jobId: f.jobId } : {}),
  ...(f.dataset ? { dataset: f.dataset } : {}),
  ...(f.prefix ? { locationPrefix: f.prefix } : {}),
  ...(f.min > 0 ? { minConfidence: f.min } : {}),
  ...(f.max < 1 ? { maxConfidence: f.max } : {}),
  ...(f.assigned ? { assignedTo: f.assigned } : {}),
  ...(f.model ? { evaluatedModel: f.model } : {}),
  ...(f.model && f.expected ? { expectedCategory: f.expected } : {}),
  ...(f.model && f.predicted ? { predictedCategory: f.predicted } : {}),
  ...(f.order === "id" ? {} : { orderby: f.order }),
});

function fraction(text: string | null, otherwise: number): number {
  const value = text === null ? Number.NaN : Number(text);
  return value >= 0 && value <= 1 ? value : otherwise;
}
