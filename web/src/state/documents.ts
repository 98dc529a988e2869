/** Cache of documents and texts, with the next ones read ahead. */

import type { DocumentItem } from "../api/types";
import type { Loaded, Source } from "./source";

const DOCUMENTS = 2_000;
const TEXTS = 60;
/** What saves of so many documents replace: before decisions, labels and settings. */
const REPLACED = 3 * DOCUMENTS;

export class Documents {
  private readonly documents = new Map<string, DocumentItem>();
  private readonly texts = new Map<string, string>();
  private readonly coming = new Map<string, Promise<Loaded>>();
  /** Versions that saves replaced: an answer that brings one was on its way when the save ended. */
  private readonly replaced = new Map<string, true>();

  constructor(private readonly source: Source) {}

  /** The document with its text, if both are here. */
  at(id: string): Loaded | null {
    const document = this.documents.get(id);
    const text = this.texts.get(id);
    return document !== undefined && text !== undefined ? { document, text } : null;
  }

  peek(id: string): DocumentItem | undefined {
    return this.documents.get(id);
  }

  /** Keeps a document as the server gave it; the text of another version is forgotten. Returns the newest we know. */
  keep(document: DocumentItem): DocumentItem {
    const known = this.documents.get(document.id);
    if (known && this.replaced.has(versionOf(document.id, document.eTag))) return known;
    if (known && known.eTag !== document.eTag) this.texts.delete(document.id);
    push(this.documents, document.id, document, DOCUMENTS);
    return document;
  }

  /** Keeps a document that changed by our own save: its text is the same. `former`: the ETags that were replaced. */
  keepSaved(document: DocumentItem, former: readonly string[] = this.eTagsOf(document.id)): void {
    for (const eTag of former) push(this.replaced, versionOf(document.id, eTag), true, REPLACED);
    this.replaced.delete(versionOf(document.id, document.eTag));
    push(this.documents, document.id, document, DOCUMENTS);
  }

  load(id: string): Promise<Loaded> {
    const here = this.at(id);
    if (here) return Promise.resolve(here);
    const running = this.coming.get(id);
    if (running) return running;
    const loading = this.fetch(id).finally(() => this.coming.delete(id));
    this.coming.set(id, loading);
    return loading;
  }

  /** Asks for documents that will probably be wanted; a failure shows when they are. */
  prefetch(ids: Iterable<string>): void {
    for (const id of ids) void this.load(id).catch(() => undefined);
  }

  async refresh(id: string): Promise<Loaded> {
    this.forget(id);
    return this.load(id);
  }

  forget(id: string): void {
    this.documents.delete(id);
    this.texts.delete(id);
  }

  forgetAll(): void {
    this.documents.clear();
    this.texts.clear();
  }

  private eTagsOf(id: string): string[] {
    const known = this.documents.get(id);
    return known ? [known.eTag] : [];
  }

  private async fetch(id: string): Promise<Loaded> {
    const { document, text } = await this.source.read(id, this.documents.get(id));
    const newest = this.keep(document);
    push(this.texts, id, text, TEXTS);
    return { document: newest, text };
  }
}

const versionOf = (id: string, eTag: string): string => `${id} ${eTag}`;

/** Adds to a map that keeps its newest entries. */
function push<V>(map: Map<string, V>, key: string, value: V, most: number): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > most) map.delete(map.keys().next().value!);
}
