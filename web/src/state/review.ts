/** The reviewer's desk: the list, the document in hand, the suggestion pointed at, and the commands. */

import { batch, computed, signal, type ReadonlySignal } from "@preact/signals";
import { messageOf } from "../api/http";
import { may } from "../auth/session";
import type { DocumentItem, Kind, Suggestion } from "../api/types";
import { baseOf, derive, pending, type Base, type Derived, type Step } from "../domain/draft";
import { Documents, type Loaded } from "./documents";
import { Drafts } from "./drafts";
import { apiQuery, confidenceOf, type Filters } from "./filters";
import { DocumentList, type Row } from "./list";
import type { OpenProject } from "./project";
import { Labeling } from "./labeling";
import { Saving } from "./saving";
import { toast } from "./toasts";

const AHEAD = 4;

export class Review {
  readonly drafts: Drafts;
  readonly documents: Documents;
  readonly saving: Saving;
  readonly labeling = new Labeling(this);
  readonly list = signal<DocumentList | null>(null);
  readonly current = signal<Loaded | null>(null);
  readonly index = signal(-1);
  readonly opening = signal<string | null>(null);
  readonly failure = signal<string | null>(null);
  /** The id of the suggestion that accept, reject and the number keys mean. */
  readonly cursor = signal<string | null>(null);
  readonly derived: ReadonlySignal<Derived | null>;
  readonly waiting: ReadonlySignal<Suggestion[]>;
  readonly waitingIds: ReadonlySignal<ReadonlySet<string>>;
  /** Why labels cannot be changed here now, or null. */
  readonly barred: ReadonlySignal<string | null>;
  readonly locked: ReadonlySignal<boolean>;
  private readonly stops: (() => void)[] = [];
  private filters: Filters | null = null;

  constructor(readonly open: OpenProject) {
    this.drafts = new Drafts(open.name, this.kind);
    this.documents = new Documents(open.name);
    this.saving = new Saving(this);
    this.derived = computed(() => {
      const loaded = this.current.value;
      if (!loaded) return null;
      const draft = this.drafts.all.value.get(loaded.document.id);
      return derive(draft?.base ?? baseOf(loaded.document, this.kind), draft?.steps ?? [], this.kind);
    });
    this.waiting = computed(() => {
      const loaded = this.current.value;
      return loaded && this.derived.value
        ? pending(this.base(loaded.document), this.derived.value, this.kind)
        : [];
    });
    this.waitingIds = computed(() => new Set(this.waiting.value.map((s) => s.id)));
    this.barred = computed(() => {
      const lock = open.lock.value;
      if (lock) return `${lock.reason} ${lock.until}`;
      return may("Labels.Review") ? null : "You may read here. Deciding needs the role Labels.Review.";
    });
    this.locked = computed(() => this.barred.value !== null);
    open.onUnlock = () => void this.unlocked();
    this.stops.push(this.drafts.listen(), this.saving.watch());
  }

  get kind(): Kind {
    return this.open.kind.value;
  }

  close(): void {
    for (const stop of this.stops) stop();
    this.list.value?.close();
    this.open.onUnlock = () => {};
    if (this.saving.autosave.value) void this.saving.save();
  }

  // --- moving -------------------------------------------------------------------------------------------------

  /** Shows the list for these filters, and in it the document `id` or the first. */
  async filter(filters: Filters, id: string | null): Promise<void> {
    this.filters = filters;
    this.list.value?.close();
    const list = new DocumentList(this.open.name, this.kind, apiQuery(filters), confidenceOf(filters), (d) =>
      this.documents.keep(d),
    );
    batch(() => {
      this.list.value = list;
      this.index.value = -1;
      if (!id) this.current.value = null;
    });
    const reading = list.ensure(0);
    if (id) await this.openId(id);
    await reading;
    if (this.list.value !== list) return;
    if (id) this.index.value = list.rows.value.findIndex((row) => row.id === id);
    else if (list.rows.value.length) await this.openRow(0);
  }

  async openRow(index: number, at: "first" | "last" = "first"): Promise<void> {
    const row = this.list.value?.rows.value[index];
    if (!row) return;
    this.index.value = index;
    const opened = this.openId(row.id, at);
    setTimeout(() => this.lookAhead(index)); // the document in hand is painted first
    await opened;
  }

  async openId(id: string, at: "first" | "last" = "first"): Promise<void> {
    const here = this.documents.at(id);
    if (here) return this.show(here, at);
    this.opening.value = id;
    try {
      const loaded = await this.documents.load(id);
      if (this.opening.value === id) this.show(loaded, at);
    } catch (error) {
      if (this.opening.value !== id) return;
      batch(() => {
        this.failure.value = messageOf(error);
        this.current.value = null;
        this.opening.value = null;
      });
    }
  }

  nextDocument(): boolean {
    return this.moveTo(this.index.value + 1, "first");
  }

  previousDocument(): boolean {
    return this.moveTo(this.index.value - 1, "last");
  }

  /** To the next suggestion, through the documents. */
  next(): void {
    const ids = this.suggestionIds();
    const at = ids.indexOf(this.cursor.value ?? "");
    if (at + 1 < ids.length) this.cursor.value = ids[at + 1]!;
    else if (!this.nextDocument()) this.atTheEnd();
  }

  previous(): void {
    const ids = this.suggestionIds();
    const at = ids.indexOf(this.cursor.value ?? "");
    if (at > 0) this.cursor.value = ids[at - 1]!;
    else if (!this.previousDocument()) toast("This is the first document.");
  }

  // --- deciding -----------------------------------------------------------------------------------------------

  accept(id = this.cursor.value): void {
    this.decide("accept", id);
  }

  reject(id = this.cursor.value): void {
    this.decide("reject", id);
  }

  reopen(id: string): void {
    this.step({ do: "reopen", ids: [id] });
    this.cursor.value = id;
  }

  acceptAllAndNext(): void {
    const ids = this.waiting.value.map((s) => s.id);
    if (ids.length && !this.step({ do: "accept", ids })) return;
    if (!this.nextDocument()) this.atTheEnd();
  }

  rejectAll(): void {
    const ids = this.waiting.value.map((s) => s.id);
    if (ids.length) this.step({ do: "reject", ids });
  }

  /** A step on the current document; false when labels cannot be changed now. */
  step(step: Step): boolean {
    const loaded = this.current.value;
    if (!loaded) return false;
    if (this.barred.value) {
      toast(this.barred.value, "bad");
      return false;
    }
    this.drafts.add(loaded.document, step);
    return true;
  }

  /** Takes the last step back wherever it was; with nothing unsaved, the last saved decision on the server. */
  async undo(): Promise<void> {
    const undone = this.saving.newest > this.drafts.newest ? null : this.drafts.undo();
    if (!undone) {
      const id = await this.saving.undoSaved();
      if (id) await this.jumpTo(id);
      return;
    }
    const { draft, step } = undone;
    if (draft.documentId !== this.current.value?.document.id) await this.jumpTo(draft.documentId);
    if ("ids" in step) this.cursor.value = step.ids[0] ?? null;
    else if (step.do === "relabel") this.cursor.value = step.id;
  }

  // --- helpers ------------------------------------------------------------------------------------------------

  /** Labels may have changed in the other studio meanwhile: read everything again, keep the drafts. */
  private async unlocked(): Promise<void> {
    toast("Labels can be changed again.", "good");
    this.documents.forgetAll();
    const id = this.current.value?.document.id;
    if (id) await this.openId(id);
  }

  /** Keeps a document as the server now has it, wherever it is shown. */
  keep(document: DocumentItem): void {
    this.documents.keepSaved(document);
    this.list.value?.update(document);
    const loaded = this.current.value;
    if (loaded?.document.id !== document.id) return;
    this.current.value = { ...loaded, document };
    if (!this.suggestionIds().includes(this.cursor.value ?? "")) this.pointAtFirst();
  }

  /** Reads list and documents again, after many changed at once. */
  reread(): void {
    this.documents.forgetAll();
    if (this.filters) void this.filter(this.filters, null);
  }

  base(document: DocumentItem): Base {
    return this.drafts.get(document.id)?.base ?? baseOf(document, this.kind);
  }

  private show(loaded: Loaded, at: "first" | "last"): void {
    batch(() => {
      this.opening.value = null;
      this.failure.value = null;
      this.labeling.selection.value = null;
      this.current.value = loaded;
      this.pointAtFirst(at);
    });
  }

  private pointAtFirst(at: "first" | "last" = "first"): void {
    const ids = this.suggestionIds();
    this.cursor.value = (at === "last" ? ids.at(-1) : (this.waiting.value[0]?.id ?? ids[0])) ?? null;
  }

  private suggestionIds(): string[] {
    const loaded = this.current.value;
    return loaded ? this.base(loaded.document).suggestions.map((s) => s.id) : [];
  }

  private decide(what: "accept" | "reject", id: string | null): void {
    if (!id || !this.waitingIds.value.has(id)) {
      if (this.waiting.value[0]) this.cursor.value = this.waiting.value[0].id;
      else toast("No suggestion is left on this document.");
      return;
    }
    if (this.step({ do: what, ids: [id] })) this.advance(id);
  }

  /** To the next suggestion that waits, in this document or in the next. */
  advance(from: string): void {
    const ids = this.suggestionIds();
    const waiting = this.waitingIds.value;
    const at = ids.indexOf(from);
    const next = [...ids.slice(at + 1), ...ids.slice(0, at)].find((id) => waiting.has(id));
    if (next) this.cursor.value = next;
    else if (!this.nextDocument()) this.atTheEnd();
  }

  private moveTo(index: number, at: "first" | "last"): boolean {
    const rows: readonly Row[] = this.list.value?.rows.value ?? [];
    if (index < 0 || index >= rows.length) return false;
    void this.openRow(index, at);
    return true;
  }

  private async jumpTo(id: string): Promise<void> {
    const index = this.list.value?.rows.value.findIndex((row) => row.id === id) ?? -1;
    if (index >= 0) await this.openRow(index);
    else await this.openId(id);
  }

  private atTheEnd(): void {
    const list = this.list.value;
    if (list && !list.done.value && !list.error.value) toast("The next documents are being read.");
    else toast("That was the last document of this list.", "good");
  }

  private lookAhead(index: number): void {
    const list = this.list.value;
    if (!list) return;
    void list.ensure(index + 50);
    const rows = list.rows.value;
    this.documents.prefetch(
      [...rows.slice(index + 1, index + 1 + AHEAD), ...rows.slice(Math.max(0, index - 1), index)].map(
        (r) => r.id,
      ),
    );
  }
}
