/** A list of up to 100,000 documents, read page by page as far as somebody looks. */

import { signal } from "@preact/signals";
import { listDocuments, type DocumentQuery } from "../api/client";
import { messageOf } from "../api/http";
import type { Dataset, DocumentItem, Kind, Status } from "../api/types";
import { entitiesOf, isEntities, readLabels } from "../domain/labels";

/** What a row of the list shows; the whole document would be too much for 100,000 of them. */
export interface Row {
  readonly id: string;
  readonly location: string;
  readonly status: Status;
  readonly dataset: Dataset;
  readonly suggestions: number;
  readonly confidence: number | null;
  readonly labels: number;
}

export interface Confidence {
  readonly min: number;
  readonly max: number;
}

const FIRST_PAGE = 100;
const NEXT_PAGE = 250;
const FAR_PAGE = 1_000;

export class DocumentList {
  readonly rows = signal<readonly Row[]>([]);
  readonly loading = signal(false);
  readonly error = signal<string | null>(null);
  readonly done = signal(false);
  private token: string | undefined;
  private wanted = 0;
  private readonly abort = new AbortController();
  private running: Promise<void> | null = null;

  constructor(
    private readonly project: string,
    private readonly kind: Kind,
    private readonly query: DocumentQuery,
    private readonly confidence: Confidence,
    private readonly seen: (document: DocumentItem) => void,
  ) {}

  /** Reads on until row `index` is here or the list has ended. */
  ensure(index: number): Promise<void> {
    this.wanted = Math.max(this.wanted, index);
    this.running ??= this.read().finally(() => (this.running = null));
    return this.running;
  }

  retry(): Promise<void> {
    this.error.value = null;
    return this.ensure(this.wanted);
  }

  close(): void {
    this.abort.abort();
  }

  /** Shows a document as it now is, without moving its row. */
  update(document: DocumentItem): void {
    const index = this.rows.value.findIndex((row) => row.id === document.id);
    if (index >= 0) this.rows.value = this.rows.value.with(index, rowOf(document, this.kind));
  }

  private async read(): Promise<void> {
    this.loading.value = true;
    try {
      while (!this.done.value && !this.error.value && this.rows.value.length <= this.wanted)
        await this.readPage();
    } catch (error) {
      if (!this.abort.signal.aborted) this.error.value = messageOf(error);
    } finally {
      this.loading.value = false;
    }
  }

  private async readPage(): Promise<void> {
    const missing = this.wanted - this.rows.value.length;
    const top = this.token === undefined ? FIRST_PAGE : missing > NEXT_PAGE ? FAR_PAGE : NEXT_PAGE;
    const query = { ...this.query, top, ...(this.token ? { continuationToken: this.token } : {}) };
    const page = await listDocuments(this.project, query, this.abort.signal);
    const rows: Row[] = [];
    for (const document of page.value) {
      this.seen(document);
      if (this.shows(document)) rows.push(rowOf(document, this.kind));
    }
    this.rows.value = this.rows.value.concat(rows);
    this.token = page.continuationToken;
    this.done.value = !this.token || this.passedRange(page.value);
  }

  /** The API's lists know no range of confidence, so it is applied here. */
  private shows(document: DocumentItem): boolean {
    if (this.confidence.min <= 0 && this.confidence.max >= 1) return true;
    return (document.suggestions ?? []).some(
      (s) => s.confidence >= this.confidence.min && s.confidence <= this.confidence.max,
    );
  }

  /** Ordered by rising confidence, nothing can follow behind the highest that is asked for. */
  private passedRange(page: DocumentItem[]): boolean {
    if (this.query.orderby !== "uncertainty" || this.confidence.max >= 1) return false;
    const last = page.at(-1);
    return !!last && (uncertainty(last, this.kind) ?? 2) > this.confidence.max;
  }
}

export function rowOf(document: DocumentItem, kind: Kind): Row {
  const labels = readLabels(document, kind);
  return {
    id: document.id,
    location: document.location,
    status: document.status,
    dataset: document.dataset,
    suggestions: document.suggestions?.length ?? 0,
    confidence: uncertainty(document, kind),
    labels: isEntities(kind) ? entitiesOf(labels).length : (labels?.categories.length ?? 0),
  };
}

/** What the order by uncertainty compares: the lowest confidence of entities, the highest of classes. */
export function uncertainty(document: DocumentItem, kind: Kind): number | null {
  const all = (document.suggestions ?? []).map((s) => s.confidence);
  if (!all.length) return null;
  return isEntities(kind) ? Math.min(...all) : Math.max(...all);
}
