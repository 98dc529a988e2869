/** Second reviews: a sample of labeled documents that another person labels again, without seeing the first labels. */

import { call, json } from "./http";
import type { DocumentItem, LabelFields, Page } from "./types";

export interface SecondReview {
  id: string;
  reviewer: string;
  by: string;
  createdDateTime: string;
  documents: number;
  seed: number;
}

export interface SecondReviewRequest {
  reviewer: string;
  size?: number;
  percent?: number;
  seed?: number;
}

export interface BlindItem {
  id: string;
  location: string;
  reviewed: boolean;
}

/** The label field has the labels of the second person, for that person only. */
export interface BlindDocument extends BlindItem, LabelFields {
  language: string;
  text: string;
}

/** How far two people agree; null: not defined. */
export interface CategoryAgreement {
  category: string;
  first: number;
  second: number;
  both: number;
  kappa: number | null;
  f1: number | null;
}

export interface Agreement {
  documents: number;
  agreed: number;
  disagreements: number;
  resolved: number;
  kappa: number | null;
  f1: number | null;
  categories: CategoryAgreement[];
}

export interface Disagreement {
  documentId: string;
  location: string;
  firstBy: string | null;
  first: LabelFields;
  second: LabelFields;
  resolution?: { by: string; dateTime: string; labels: LabelFields };
}

/** Documents of a second review at most: one request lists them all. */
const MOST = 1_000;

const reviews = (project: string, rest = ""): string =>
  `/authoring/analyze-text/projects/${encodeURIComponent(project)}/second-reviews${rest}`;
const documentOf = (project: string, review: string, id: string, rest = ""): string =>
  reviews(project, `/${encodeURIComponent(review)}/documents/${encodeURIComponent(id)}${rest}`);

export const listSecondReviews = async (project: string): Promise<SecondReview[]> =>
  (await json<Page<SecondReview>>(reviews(project))).value;

export const createSecondReview = (project: string, body: SecondReviewRequest): Promise<SecondReview> =>
  json(reviews(project), { method: "POST", body });

export const listBlindDocuments = async (
  project: string,
  review: string,
  signal?: AbortSignal,
): Promise<BlindItem[]> => {
  const path = reviews(project, `/${encodeURIComponent(review)}/documents`);
  return (await json<Page<BlindItem>>(path, { query: { top: MOST }, ...(signal ? { signal } : {}) })).value;
};

export const getBlindDocument = (project: string, review: string, id: string): Promise<BlindDocument> =>
  json(documentOf(project, review, id));

/** Null removes the labels. */
export async function putBlindLabels(
  project: string,
  review: string,
  id: string,
  labels: LabelFields,
): Promise<void> {
  await call(documentOf(project, review, id, "/labels"), { method: "PUT", body: labels });
}

export const getAgreement = (project: string, review: string): Promise<Agreement> =>
  json(reviews(project, `/${encodeURIComponent(review)}/agreement`));

export const listDisagreements = (
  project: string,
  review: string,
  query: { top: number; continuationToken?: string },
): Promise<Page<Disagreement>> =>
  json(reviews(project, `/${encodeURIComponent(review)}/disagreements`), { query });

export const resolve = (
  project: string,
  review: string,
  document: DocumentItem,
  body: { choice: "first" | "second" } | { labels: LabelFields },
): Promise<DocumentItem> =>
  json(documentOf(project, review, document.id, "/:resolve"), {
    method: "POST",
    body,
    ifMatch: document.eTag,
  });

export const reopen = (project: string, review: string, id: string): Promise<DocumentItem> =>
  json(documentOf(project, review, id, "/:reopen"), { method: "POST" });
