/** Which documents the list shows; kept in the address so that a list can be shared and reloaded. */

import type { DocumentQuery } from "../api/client";
import type { Confidence } from "./list";

export interface Filters {
  readonly status: string;
  readonly category: string;
  readonly jobId: string;
  readonly dataset: string;
  readonly prefix: string;
  readonly order: "uncertainty" | "location" | "id";
  readonly min: number;
  readonly max: number;
}

const ORDERS = ["uncertainty", "location", "id"] as const;

/** The review begins with what the model knows least about; labeling by hand with every document by name. */
export function filtersFrom(query: URLSearchParams, review: boolean): Filters {
  const order = ORDERS.find((o) => o === query.get("order"));
  return {
    status: query.get("status") ?? (review ? "autoLabeled" : "all"),
    category: query.get("category") ?? "",
    jobId: query.get("job") ?? "",
    dataset: query.get("dataset") ?? "",
    prefix: query.get("prefix") ?? "",
    order: order ?? (review ? "uncertainty" : "location"),
    min: fraction(query.get("min"), 0),
    max: fraction(query.get("max"), 1),
  };
}

export function queryFrom(filters: Filters, review: boolean): Record<string, string | undefined> {
  const usual = filtersFrom(new URLSearchParams(), review);
  return {
    status: filters.status === usual.status ? undefined : filters.status,
    category: filters.category || undefined,
    job: filters.jobId || undefined,
    dataset: filters.dataset || undefined,
    prefix: filters.prefix || undefined,
    order: filters.order === usual.order ? undefined : filters.order,
    min: filters.min > 0 ? String(filters.min) : undefined,
    max: filters.max < 1 ? String(filters.max) : undefined,
  };
}

export const apiQuery = (f: Filters): DocumentQuery => ({
  ...(f.status === "all" ? {} : { status: f.status }),
  ...(f.category ? { category: f.category } : {}),
  ...(f.jobId ? { jobId: f.jobId } : {}),
  ...(f.dataset ? { dataset: f.dataset } : {}),
  ...(f.prefix ? { locationPrefix: f.prefix } : {}),
  ...(f.order === "id" ? {} : { orderby: f.order }),
});

export const confidenceOf = (f: Filters): Confidence => ({ min: f.min, max: f.max });

function fraction(text: string | null, otherwise: number): number {
  const value = text === null ? Number.NaN : Number(text);
  return value >= 0 && value <= 1 ? value : otherwise;
}
