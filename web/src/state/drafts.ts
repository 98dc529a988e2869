/** Unsaved work of one person in one project, kept in this browser: a reload, a second tab or another person loses nothing. */

import { computed, signal, type ReadonlySignal } from "@preact/signals";
import type { DocumentItem, Kind } from "../api/types";
import {
  baseOf,
  isIdle,
  lastAt,
  startDraft,
  withoutLastStep,
  withStep,
  type Base,
  type Draft,
  type Step,
} from "../domain/draft";

export class Drafts {
  readonly all = signal<ReadonlyMap<string, Draft>>(new Map());
  /** Set when the browser refuses to store; the work then lives only as long as this tab. */
  readonly unstored = signal(false);
  readonly unsaved: ReadonlySignal<Draft[]>;
  /** Of the keys in storage: person, project, and what is reviewed. */
  readonly prefix: string;
  private clock = 0;

  constructor(
    person: string,
    project: string,
    private readonly kind: Kind,
    private readonly storage: Storage = window.localStorage,
    of = "draft",
  ) {
    this.prefix = `labelbridge.${of}|${encodeURIComponent(person)}|${project}|`;
    if (of === "draft") this.adopt(`labelbridge.draft|${project}|`);
    this.all.value = this.read();
    this.unsaved = computed(() => [...this.all.value.values()].filter((d) => !isIdle(d, this.kind)));
  }

  get(documentId: string): Draft | undefined {
    return this.all.value.get(documentId);
  }

  /** Adds a step to the document's draft, which begins with the document as it was read. */
  add(document: DocumentItem, step: Step): void {
    const draft = this.get(document.id) ?? startDraft(document, this.kind);
    this.clock = Math.max(Date.now(), this.clock + 1);
    this.put(withStep(draft, step, this.clock));
  }

  /** When the newest step was taken. */
  get newest(): number {
    return Math.max(0, ...[...this.all.value.values()].map(lastAt));
  }

  /** Removes the newest step of all documents and returns it with its draft; null when there is none. */
  undo(): { draft: Draft; step: Step } | null {
    const drafts = [...this.all.value.values()];
    const newest = drafts.reduce((a, b) => (lastAt(b) > lastAt(a) ? b : a), drafts[0]!);
    const step = newest?.steps.at(-1);
    if (!step) return null;
    const draft = withoutLastStep(newest);
    this.put(draft);
    return { draft, step };
  }

  /** After a save: steps taken meanwhile stay, on top of the document as it is now. */
  saved(saved: Draft, document: DocumentItem): void {
    const now = this.get(saved.documentId);
    if (!now) return;
    const later = now.steps.slice(saved.steps.length);
    this.put({ ...now, base: baseOf(document, this.kind), steps: later });
  }

  /** After a part of a save: what is `left` of it, and steps taken meanwhile, on top of the document as it is now. */
  partlySaved(saved: Draft, document: DocumentItem, left: readonly Step[]): void {
    const now = this.get(saved.documentId);
    if (!now) return;
    const later = now.steps.slice(saved.steps.length);
    const rest = left.map((step) => ({ ...step, at: lastAt(saved) }));
    this.put({ ...now, base: baseOf(document, this.kind), steps: [...rest, ...later] });
  }

  /** Puts the draft on another base, with the one step list that gives the wanted state. */
  rebase(draft: Draft, base: Base, steps: Step[]): Draft {
    this.clock = Math.max(Date.now(), this.clock + 1);
    const next = { ...draft, base, steps: steps.map((s) => ({ ...s, at: this.clock })) };
    this.put(next);
    return next;
  }

  drop(documentId: string): void {
    this.set(documentId, null);
  }

  /** Takes over what another tab changed while nobody listened. */
  refresh(): void {
    if (!this.unstored.value) this.all.value = this.read();
  }

  /** Another tab of this browser changed a draft. */
  listen(): () => void {
    const heard = (event: StorageEvent): void => {
      if (event.key?.startsWith(this.prefix)) this.all.value = this.read();
    };
    window.addEventListener("storage", heard);
    return () => window.removeEventListener("storage", heard);
  }

  /** Drafts of earlier versions, which have no person, belong to the person who opens the project first. */
  private adopt(former: string): void {
    const keys = Array.from({ length: this.storage.length }, (_, i) => this.storage.key(i) ?? "");
    for (const key of keys) {
      const id = key.startsWith(former) ? key.slice(former.length) : "";
      if (!id || id.includes("|")) continue;
      this.storage.setItem(this.prefix + id, this.storage.getItem(key) ?? "");
      this.storage.removeItem(key);
    }
  }

  private put(draft: Draft): void {
    this.set(draft.documentId, draft.steps.length ? draft : null);
  }

  private set(documentId: string, draft: Draft | null): void {
    const next = new Map(this.all.value);
    if (draft) next.set(documentId, draft);
    else next.delete(documentId);
    this.all.value = next;
    this.write(documentId, draft);
  }

  private write(documentId: string, draft: Draft | null): void {
    try {
      if (draft) this.storage.setItem(this.prefix + documentId, JSON.stringify(draft));
      else this.storage.removeItem(this.prefix + documentId);
      this.unstored.value = false;
    } catch {
      this.unstored.value = true;
    }
  }

  private read(): Map<string, Draft> {
    const found = new Map<string, Draft>();
    for (let i = 0; i < this.storage.length; i++) {
      const key = this.storage.key(i);
      if (!key?.startsWith(this.prefix)) continue;
      const draft = parseDraft(this.storage.getItem(key));
      if (draft) found.set(draft.documentId, draft);
    }
    return found;
  }
}

function parseDraft(text: string | null): Draft | null {
  try {
    const draft = JSON.parse(text ?? "") as Draft;
    const whole =
      typeof draft.documentId === "string" &&
      Array.isArray(draft.steps) &&
      typeof draft.base?.eTag === "string";
    return whole ? draft : null;
  } catch {
    return null;
  }
}
