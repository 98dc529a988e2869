/** Where the documents under review come from and where their labels go: the project, or a second review. */

import {
  getDocument,
  getText,
  listDocuments,
  putLabels,
  searchDocuments,
  undoDocument,
  type DocumentQuery,
  type Found,
} from "../api/client";
import { getBlindDocument, listBlindDocuments, listSecondReviews, putBlindLabels } from "../api/second";
import type { BlindItem } from "../api/second";
import type { DocumentItem, Kind, LabelFields, Page } from "../api/types";
import { writeLabels, type Labels } from "../domain/labels";

export interface Loaded {
  readonly document: DocumentItem;
  readonly text: string;
}

export interface Source {
  readonly project: string;
  /** Whether the labels of the first person are hidden: nothing but text and own labels is shown. */
  readonly blind: boolean;
  /** The id of the second review, in the address of its page. */
  readonly second?: string;
  /** What keeps unsaved work of this source apart from others. */
  readonly drafts: string;
  /** Why this person cannot label here, or null. */
  refusal(person: string): Promise<string | null>;
  list(query: DocumentQuery, signal: AbortSignal): Promise<Page<DocumentItem> & { count?: number }>;
  search(body: DocumentQuery & { text: string }, signal: AbortSignal): Promise<Found>;
  /** `known`: the document as it was read before. */
  read(id: string, known: DocumentItem | undefined): Promise<Loaded>;
  putLabels(id: string, labels: LabelFields, eTag: string): Promise<DocumentItem>;
  /** Undoes the last saved change of labels, before which the document had these. */
  undo(document: DocumentItem, before: Labels | null): Promise<DocumentItem>;
}

export class ProjectSource implements Source {
  readonly blind = false;
  readonly drafts = "draft";

  constructor(readonly project: string) {}

  refusal(): Promise<null> {
    return Promise.resolve(null);
  }

  list(query: DocumentQuery, signal: AbortSignal): Promise<Page<DocumentItem> & { count?: number }> {
    return listDocuments(this.project, query, signal);
  }

  search(body: DocumentQuery & { text: string }, signal: AbortSignal): Promise<Found> {
    return searchDocuments(this.project, body, signal);
  }

  async read(id: string, known: DocumentItem | undefined): Promise<Loaded> {
    const document = known ?? (await getDocument(this.project, id));
    const readable = document.status !== "rejected" && !document.missing;
    return { document, text: readable ? await getText(this.project, id) : "" };
  }

  putLabels(id: string, labels: LabelFields, eTag: string): Promise<DocumentItem> {
    return putLabels(this.project, id, labels, eTag);
  }

  undo(document: DocumentItem): Promise<DocumentItem> {
    return undoDocument(this.project, document.id, document.eTag);
  }
}

/** A sample that a second person labels: of its documents only texts and that person's own labels are read. */
export class SecondReviewSource implements Source {
  readonly blind = true;
  readonly drafts: string;
  private readonly seen = new Map<string, DocumentItem>();

  constructor(
    readonly project: string,
    private readonly kind: Kind,
    readonly second: string,
  ) {
    this.drafts = `second ${second}`;
  }

  async refusal(person: string): Promise<string | null> {
    const review = (await listSecondReviews(this.project)).find((candidate) => candidate.id === this.second);
    return !review || review.reviewer === person
      ? null
      : `Only ${review.reviewer} can label the documents of this second review.`;
  }

  async list(_: DocumentQuery, signal: AbortSignal): Promise<Page<DocumentItem> & { count?: number }> {
    const items = await listBlindDocuments(this.project, this.second, signal);
    return { value: items.map(documentOf), count: items.length };
  }

  search(): Promise<Found> {
    return Promise.reject(new Error("The documents of a second review cannot be searched."));
  }

  async read(id: string): Promise<Loaded> {
    const { text, ...item } = await getBlindDocument(this.project, this.second, id);
    const document = { ...documentOf(item), ...item, length: text.length };
    this.seen.set(id, document);
    return { document, text };
  }

  async putLabels(id: string, labels: LabelFields): Promise<DocumentItem> {
    await putBlindLabels(this.project, this.second, id, labels);
    const reviewed = Object.values(labels).some((value) => value !== null);
    const known = this.seen.get(id) ?? (await this.read(id)).document;
    const saved = { ...known, ...labels, status: statusOf(reviewed) };
    this.seen.set(id, saved);
    return saved;
  }

  undo(document: DocumentItem, before: Labels | null): Promise<DocumentItem> {
    return this.putLabels(document.id, writeLabels(before, this.kind));
  }
}

const statusOf = (reviewed: boolean): DocumentItem["status"] => (reviewed ? "labeled" : "unlabeled");

/** What is shown of a document of the sample, in the form of every document. */
const documentOf = (item: BlindItem & { language?: string }): DocumentItem => ({
  id: item.id,
  location: item.location,
  language: item.language ?? "",
  dataset: "Train",
  status: statusOf(item.reviewed),
  eTag: "",
  contentChanged: false,
  missing: false,
  length: null,
  flagged: false,
  suggestions: [],
});
