/** A list of up to 100,000 documents, read page by page as it is scrolled. */

import { batch, signal } from "@preact/signals";
import type { DocumentQuery, Match } from "../api/client";
import { ApiError, messageOf } from "../api/http";
import type { Dataset, DocumentItem, Kind, Status, Suggestion } from "../api/types";
import { entitiesOf, isEntities, readLabels, type Labels } from "../domain/labels";
import type { Source } from "./source";

/** What a row of the list shows; the whole document would be too much for 100,000 of them. */
export interface Row {
  /** What it is labeled or, while suggestions wait, suggested as: the first few categories, none twice. */
  readonly categories: readonly string[];
  readonly id: string;
  readonly location: string;
  readonly status: Status;
  readonly dataset: Dataset;
  readonly suggestions: number;
  readonly confidence: number | null;
  readonly labels: number;
  /** The first words of the text. */
  readonly words: string;
  readonly flagged: boolean;
  readonly note: boolean;
  /** In a search: the text before the first match, the match, and the text after it. */
  readonly match?: readonly [string, string, string];
}

/** How far a search is: documents of all that the filters select, and those of them without a readable text. */
export interface Searched {
  readonly searched: number;
  readonly unread: number;
  readonly total: number;
}

/** A list as far as it was read, so that it can be read on later. */
export interface Snapshot {
  readonly rows: readonly Row[];
  readonly token: string | undefined;
  readonly done: boolean;
  readonly count: number | null;
  readonly searched: Searched | null;
}

/** As far as a row is looked for: the document that an address names, the next uncertain suggestion. */
export const MOST_SEARCHED = 5_000;
/** After a list or a document could not be read, as in an outage, it is tried again. */
export const READ_AGAIN_MS = 5_000;
const MOST_CATEGORIES = 2;
const FIRST_PAGE = 100;
const NEXT_PAGE = 250;
const FAR_PAGE = 1_000;
const FOUND_PAGE = 50;
/** A search that finds little pauses after so many documents until the reader continues it. */
const SEARCHED_AT_ONCE = 1_500;
/** So much of the text before a match is shown that the match is in view. */
const BEFORE = 14;

export class DocumentList {
  readonly rows = signal<readonly Row[]>([]);
  readonly loading = signal(false);
  readonly error = signal<string | null>(null);
  readonly done = signal(false);
  /** How many documents matched when the first of them were read; null: not known yet. */
  readonly count = signal<number | null>(null);
  readonly searched = signal<Searched | null>(null);
  /** Whether a search is paused until the reader continues it. */
  readonly paused = signal(false);
  private searchedBefore = 0;
  private token: string | undefined;
  private wanted = 0;
  private readonly abort = new AbortController();
  private running: Promise<void> | null = null;
  private timer = 0;
  /** Resolves once the first page is here, however often it had to be asked for. */
  readonly begun: Promise<void>;
  private begin = (): void => {};

  constructor(
    private readonly source: Source,
    private readonly kind: Kind,
    private readonly query: DocumentQuery,
    readonly search: string,
    /** Takes note of a document that was read, and gives it as it is now. */
    private readonly seen: (document: DocumentItem) => DocumentItem,
    snapshot?: Snapshot,
  ) {
    this.begun = new Promise((begun) => (this.begin = begun));
    if (!snapshot) return;
    this.begin();
    this.rows.value = snapshot.rows;
    this.token = snapshot.token;
    this.done.value = snapshot.done;
    this.count.value = snapshot.count;
    this.searched.value = snapshot.searched;
  }

  snapshot(): Snapshot {
    return {
      rows: this.rows.value,
      token: this.token,
      done: this.done.value,
      count: this.count.value,
      searched: this.searched.value,
    };
  }

  /**
   * Reads on until a row is `wanted`, the list has ended, or none is among the first 5,000. Returns its index or -1.
   * `ended`: whether no row after this one, the last that was read, can be wanted.
   */
  async find(
    wanted: (row: Row, index: number) => boolean,
    ended: (last: Row) => boolean = () => false,
  ): Promise<number> {
    const found = (): number => this.rows.value.findIndex(wanted);
    while (found() < 0 && !this.done.value && !this.paused.value && !this.error.value) {
      const last = this.rows.value.at(-1);
      if (this.abort.signal.aborted || (last && ended(last))) break;
      if (this.rows.value.length >= MOST_SEARCHED) break;
      await this.ensure(this.rows.value.length);
    }
    return found();
  }

  /** Reads on until row `index` is here, the list has ended, or it cannot be read: then `retry` goes on. */
  ensure(index: number): Promise<void> {
    this.wanted = Math.max(this.wanted, index);
    if (this.error.value !== null) return this.running ?? Promise.resolve();
    return this.retry();
  }

  /** Reads on after a failure, which stays until the next page is here. */
  retry(): Promise<void> {
    clearTimeout(this.timer);
    this.running ??= this.read().finally(() => (this.running = null));
    return this.running;
  }

  /** Searches the next documents. */
  searchOn(): Promise<void> {
    this.searchedBefore = this.searched.value?.searched ?? 0;
    this.paused.value = false;
    return this.ensure(this.rows.value.length);
  }

  close(): void {
    this.abort.abort();
    clearTimeout(this.timer);
  }

  /** Shows a document as it now is, without moving its row. */
  update(document: DocumentItem): void {
    const index = this.rows.value.findIndex((row) => row.id === document.id);
    const { match } = this.rows.value[index] ?? {};
    const row = { ...rowOf(document, this.kind), ...(match ? { match } : {}) };
    if (index >= 0) this.rows.value = this.rows.value.with(index, row);
  }

  private async read(): Promise<void> {
    this.loading.value = true;
    try {
      const ended = (): boolean => this.done.value || this.paused.value;
      while (!ended() && this.rows.value.length <= this.wanted) {
        await (this.search ? this.searchPage() : this.readPage());
        this.error.value = null;
        this.begin();
      }
    } catch (error) {
      if (this.abort.signal.aborted) return;
      this.error.value = messageOf(error);
      if (error instanceof ApiError && error.passes)
        this.timer = window.setTimeout(() => void this.retry(), READ_AGAIN_MS);
    } finally {
      this.loading.value = false;
    }
  }

  private async readPage(): Promise<void> {
    const missing = this.wanted - this.rows.value.length;
    const top = this.token === undefined ? FIRST_PAGE : missing > NEXT_PAGE ? FAR_PAGE : NEXT_PAGE;
    const first = this.token === undefined;
    const query = {
      ...this.query,
      top,
      ...(first ? { count: "true" } : { continuationToken: this.token! }),
    };
    const page = await this.source.list(query, this.abort.signal);
    const rows = page.value.map((document) => rowOf(this.seen(document), this.kind));
    this.rows.value = this.rows.value.concat(rows);
    this.token = page.continuationToken;
    this.done.value = !this.token;
    if (page.count !== undefined) this.count.value = page.count;
  }

  private async searchPage(): Promise<void> {
    const token = this.token ? { continuationToken: this.token } : {};
    const body = { ...this.query, text: this.search, top: FOUND_PAGE, ...token };
    const { value, searched, unread, total, continuationToken } = await this.source.search(
      body,
      this.abort.signal,
    );
    const rows = value.map((found) => ({
      ...rowOf(this.seen(found.document), this.kind),
      match: partsOf(found),
    }));
    batch(() => {
      this.rows.value = this.rows.value.concat(rows);
      this.token = continuationToken;
      this.done.value = !this.token;
      this.searched.value = { searched, unread, total };
      this.paused.value = !!this.token && searched - this.searchedBefore >= SEARCHED_AT_ONCE;
    });
  }
}

function partsOf({ context: { text, offset, length } }: Match): [string, string, string] {
  const before = text.slice(0, offset);
  const shown = before.length > BEFORE ? `…${before.slice(-BEFORE)}` : before;
  return [shown, text.slice(offset, offset + length), text.slice(offset + length)];
}

export function rowOf(document: DocumentItem, kind: Kind): Row {
  const labels = readLabels(document, kind);
  const suggested = document.suggestions?.map((s) => s.category) ?? [];
  return {
    categories: namesOf(suggested.length ? suggested : categoriesOf(labels)),
    id: document.id,
    location: document.location,
    status: document.status,
    dataset: document.dataset,
    suggestions: document.suggestions?.length ?? 0,
    confidence: uncertainty(document.suggestions ?? [], kind),
    words: document.excerpt ?? "",
    labels: isEntities(kind) ? entitiesOf(labels).length : (labels?.categories.length ?? 0),
    flagged: document.flagged,
    note: !!document.note,
  };
}

export const categoriesOf = (labels: Labels | null): string[] =>
  labels ? [...labels.categories, ...entitiesOf(labels).map((e) => e.category)] : [];

export const namesOf = (categories: readonly string[]): string[] =>
  [...new Set(categories)].slice(0, MOST_CATEGORIES);

/** What the order by uncertainty compares: the lowest confidence of entities, the highest of classes. */
export function uncertainty(suggestions: readonly Suggestion[], kind: Kind): number | null {
  const all = suggestions.map((s) => s.confidence);
  if (!all.length) return null;
  return isEntities(kind) ? Math.min(...all) : Math.max(...all);
}
