/** The reviewer's desk: the list, the document in hand, the suggestion pointed at, and the commands. */

import { batch, computed, effect, signal, type ReadonlySignal } from "@preact/signals";
import { undoDocument } from "../api/client";
import { ApiError, messageOf } from "../api/http";
import type { DocumentItem, Suggestion } from "../api/types";
import { baseOf, derive, pending, type Derived, type Draft, type Step } from "../domain/draft";
import { isEntities, isSingle, MAX_ENTITY_LENGTH, type Labels, type Place } from "../domain/labels";
import { Documents, type Loaded } from "./documents";
import { Drafts } from "./drafts";
import { apiQuery, confidenceOf, type Filters } from "./filters";
import { DocumentList, type Row } from "./list";
import type { OpenProject } from "./project";
import { save, type Saved } from "./save";
import { toast } from "./toasts";

const AHEAD = 4;
const AUTOSAVE_MS = 1_500;
const AUTOSAVE_KEY = "labelbridge.autosave";

export interface Conflict {
  readonly draft: Draft;
  readonly mine: Labels | null;
  readonly theirs: DocumentItem;
}

export class Review {
  readonly drafts: Drafts;
  readonly documents: Documents;
  readonly list = signal<DocumentList | null>(null);
  readonly current = signal<Loaded | null>(null);
  readonly index = signal(-1);
  readonly opening = signal<string | null>(null);
  readonly failure = signal<string | null>(null);
  /** The id of the suggestion that accept, reject and the number keys mean. */
  readonly cursor = signal<string | null>(null);
  /** A stretch of text that waits for a category. */
  readonly selection = signal<{ offset: number; length: number } | null>(null);
  readonly conflicts = signal<ReadonlyMap<string, Conflict>>(new Map());
  readonly showConflicts = signal(false);
  readonly refusals = signal<ReadonlyMap<string, string>>(new Map());
  readonly saving = signal(false);
  readonly autosave = signal(localStorage.getItem(AUTOSAVE_KEY) === "on");
  readonly savedOrder = signal<readonly string[]>([]);
  readonly derived: ReadonlySignal<Derived | null>;
  readonly waiting: ReadonlySignal<Suggestion[]>;
  readonly canUndo: ReadonlySignal<boolean>;
  readonly locked: ReadonlySignal<boolean>;
  private readonly stops: (() => void)[] = [];

  constructor(readonly open: OpenProject) {
    this.drafts = new Drafts(open.name, this.kind);
    this.documents = new Documents(open.name);
    this.derived = computed(() => {
      const loaded = this.current.value;
      if (!loaded) return null;
      const draft = this.drafts.all.value.get(loaded.document.id);
      return derive(draft?.base ?? baseOf(loaded.document, this.kind), draft?.steps ?? [], this.kind);
    });
    this.waiting = computed(() => {
      const loaded = this.current.value;
      return loaded && this.derived.value ? pending(this.base(loaded.document), this.derived.value, this.kind) : [];
    });
    this.canUndo = computed(() => this.drafts.all.value.size > 0 || this.savedOrder.value.length > 0);
    this.locked = computed(() => open.lock.value !== null);
    open.onUnlock = () => void this.unlocked();
    this.stops.push(this.drafts.listen(), this.autosaving());
  }

  get kind() {
    return this.open.kind.value;
  }

  close(): void {
    for (const stop of this.stops) stop();
    this.list.value?.close();
    this.open.onUnlock = () => {};
    if (this.autosave.value) void this.save();
  }

  // --- moving -------------------------------------------------------------------------------------------------

  /** Shows the list for these filters, and in it the document `id` or the first. */
  async filter(filters: Filters, id: string | null): Promise<void> {
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
    this.lookAhead(index);
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

  /** A number key or a click on a category: for the selected text, the suggestion pointed at, or the document. */
  choose(category: string): void {
    const selected = this.selection.value;
    if (selected) return this.addEntity(category);
    const one = this.waiting.value.find((s) => s.id === this.cursor.value);
    if (one?.category === category) return this.accept(one.id);
    if (one) {
      if (this.step({ do: "relabel", id: one.id, category })) this.advance(one.id);
      return;
    }
    if (isEntities(this.kind)) return toast("Select text first, or point at a suggestion, then choose its category.");
    const has = this.derived.value?.labels?.categories.includes(category);
    this.step({ do: has ? "remove" : "add", place: { category } });
  }

  addEntity(category: string, span = this.selection.value): void {
    if (!span) return;
    if (span.length > MAX_ENTITY_LENGTH) return toast(`An entity has at most ${MAX_ENTITY_LENGTH} characters.`, "bad");
    if (this.step({ do: "add", place: { category, ...span } })) this.selection.value = null;
  }

  change(place: Place, category: string): void {
    this.step({ do: "change", place, category });
  }

  remove(place: Place): void {
    this.step({ do: "remove", place });
  }

  /** A step on the current document; false when labels cannot be changed now. */
  step(step: Step): boolean {
    const loaded = this.current.value;
    if (!loaded) return false;
    if (this.locked.value) {
      toast(`${this.open.lock.value!.reason} ${this.open.lock.value!.until}`, "bad");
      return false;
    }
    this.drafts.add(loaded.document, step);
    return true;
  }

  /** Takes the last step back wherever it was; with nothing unsaved, the last saved decision on the server. */
  async undo(): Promise<void> {
    const undone = this.drafts.undo();
    if (!undone) return this.undoSaved();
    const { draft, step } = undone;
    if (draft.documentId !== this.current.value?.document.id) await this.jumpTo(draft.documentId);
    if ("ids" in step) this.cursor.value = step.ids[0] ?? null;
    else if (step.do === "relabel") this.cursor.value = step.id;
  }

  /** A category that is new here is defined by the first save of a label with it. */
  define(category: string): void {
    const known = this.open.categories.value;
    if (!known.some((c) => c.category === category)) this.open.categories.value = [...known, { category }];
  }

  // --- saving -------------------------------------------------------------------------------------------------

  setAutosave(on: boolean): void {
    this.autosave.value = on;
    localStorage.setItem(AUTOSAVE_KEY, on ? "on" : "off");
  }

  /** Saves all unsaved work. `loud`: the reviewer asked for it, so say how it went. */
  async save(loud = false): Promise<void> {
    const drafts = this.drafts.unsaved.value.filter((d) => !this.conflicts.value.has(d.documentId));
    if (this.saving.value) return;
    if (!drafts.length) {
      if (this.conflicts.value.size) this.showConflicts.value = loud;
      else if (loud) toast("Everything is saved.", "good");
      return;
    }
    this.saving.value = true;
    let saved = 0;
    try {
      await save(this.open.name, this.kind, drafts, (id) => this.documents.peek(id), (one) => {
        if (one.result === "saved") saved++;
        this.report(one, loud);
      });
    } catch (error) {
      this.saveFailed(error);
    } finally {
      this.saving.value = false;
    }
    if (saved && loud) toast(`Saved the labels of ${saved === 1 ? "1 document" : `${saved} documents`}.`, "good");
    if (saved) void this.open.refreshStatistics();
  }

  /** Settles a conflict: with my labels on top of theirs, with both, or with theirs alone. */
  settle(conflict: Conflict, labels: Labels | null, keepMine: boolean): void {
    const { draft, theirs } = conflict;
    const left = new Map(this.conflicts.value);
    left.delete(draft.documentId);
    batch(() => {
      this.conflicts.value = left;
      if (!left.size) this.showConflicts.value = false;
      this.documents.keepSaved(theirs);
      this.list.value?.update(theirs);
      this.drafts.drop(draft.documentId);
      if (this.current.value?.document.id === theirs.id) this.current.value = { ...this.current.value, document: theirs };
    });
    if (keepMine) {
      this.drafts.rebase(draft, baseOf(theirs, this.kind), stepsTo(labels, this.mineOf(draft, theirs), draft));
      void this.save(true);
    }
  }

  private mineOf(draft: Draft, theirs: DocumentItem): { accept: string[]; reject: string[] } {
    const { verdicts } = derive(draft.base, draft.steps, this.kind);
    const still = new Set(theirs.suggestions.map((s) => s.id));
    const pick = (verdict: string): string[] => [...verdicts].filter(([id, v]) => v === verdict && still.has(id)).map(([id]) => id);
    return { accept: pick("accepted"), reject: pick("rejected") };
  }

  private report(one: Saved, loud: boolean): void {
    const id = one.draft.documentId;
    const refusals = new Map(this.refusals.value);
    refusals.delete(id);
    batch(() => {
      if (one.result === "saved") this.wasSaved(one.draft, one.document);
      if (one.result === "conflict") {
        const { draft, mine, theirs } = one;
        this.conflicts.value = new Map(this.conflicts.value).set(id, { draft, mine, theirs });
        if (loud) this.showConflicts.value = true;
      }
      if (one.result === "gone") {
        this.drafts.drop(id);
        toast(`“${one.draft.location}” is no longer in the project; what was decided on it cannot be saved.`, "bad");
      }
      if (one.result === "refused") {
        refusals.set(id, one.message);
        toast(`“${one.draft.location}” could not be saved: ${one.message}`, "bad");
      }
      this.refusals.value = refusals;
    });
  }

  private wasSaved(draft: Draft, document: DocumentItem): void {
    this.documents.keepSaved(document);
    this.list.value?.update(document);
    this.drafts.saved(draft, document);
    this.savedOrder.value = [...this.savedOrder.value.filter((id) => id !== draft.documentId), draft.documentId];
    const loaded = this.current.value;
    if (loaded?.document.id === document.id) {
      this.current.value = { ...loaded, document };
      if (!this.suggestionIds().includes(this.cursor.value ?? "")) this.pointAtFirst();
    }
  }

  private saveFailed(error: unknown): void {
    if (error instanceof ApiError && error.locked) this.open.locked(error);
    else if (error instanceof ApiError && error.status === 401) return;
    else toast(messageOf(error), "bad");
  }

  private async undoSaved(): Promise<void> {
    const id = this.savedOrder.value.at(-1);
    if (!id) return toast("There is nothing to undo.");
    try {
      const known = this.documents.peek(id) ?? (await this.documents.load(id)).document;
      const document = await undoDocument(this.open.name, id, known.eTag);
      batch(() => {
        this.savedOrder.value = this.savedOrder.value.slice(0, -1);
        this.documents.keepSaved(document);
        this.list.value?.update(document);
        if (this.current.value?.document.id === id) this.current.value = { ...this.current.value, document };
      });
      await this.jumpTo(id);
      this.pointAtFirst();
      toast("The saved decision was undone.", "good");
      void this.open.refreshStatistics();
    } catch (error) {
      this.savedOrder.value = this.savedOrder.value.slice(0, -1);
      toast(messageOf(error), "bad");
    }
  }

  private autosaving(): () => void {
    let timer = 0;
    const stop = effect(() => {
      clearTimeout(timer);
      if (!this.autosave.value || !this.drafts.unsaved.value.length || this.locked.value) return;
      timer = window.setTimeout(() => void this.save(), AUTOSAVE_MS);
    });
    return () => {
      clearTimeout(timer);
      stop();
    };
  }

  /** Labels may have changed in the other studio meanwhile: read everything again, keep the drafts. */
  private async unlocked(): Promise<void> {
    toast("Labels can be changed again.", "good");
    this.documents.forgetAll();
    const id = this.current.value?.document.id;
    if (id) await this.openId(id);
  }

  // --- helpers ------------------------------------------------------------------------------------------------

  base(document: DocumentItem) {
    return this.drafts.get(document.id)?.base ?? baseOf(document, this.kind);
  }

  private show(loaded: Loaded, at: "first" | "last"): void {
    batch(() => {
      this.opening.value = null;
      this.failure.value = null;
      this.selection.value = null;
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
    if (!id || !this.waiting.value.some((s) => s.id === id)) {
      if (this.waiting.value[0]) this.cursor.value = this.waiting.value[0].id;
      else toast("No suggestion is left on this document.");
      return;
    }
    if (this.step({ do: what, ids: [id] })) this.advance(id);
  }

  /** To the next suggestion that waits, in this document or in the next. */
  private advance(from: string): void {
    const ids = this.suggestionIds();
    const waiting = new Set(this.waiting.value.map((s) => s.id));
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
    else toast(isSingle(this.kind) ? "That was the last document of this list." : "That was the last suggestion of this list.", "good");
  }

  private lookAhead(index: number): void {
    const list = this.list.value;
    if (!list) return;
    void list.ensure(index + 50);
    const rows = list.rows.value;
    this.documents.prefetch([...rows.slice(index + 1, index + 1 + AHEAD), ...rows.slice(Math.max(0, index - 1), index)].map((r) => r.id));
  }
}

/** Steps that lead from a document as it is now to the labels that the reviewer wants. */
function stepsTo(labels: Labels | null, mine: { accept: string[]; reject: string[] }, draft: Draft): Step[] {
  const steps: Step[] = [];
  if (mine.accept.length) steps.push({ do: "accept", ids: mine.accept });
  if (mine.reject.length) steps.push({ do: "reject", ids: mine.reject });
  steps.push({ do: "set", labels });
  const dataset = draft.steps.findLast((s) => s.do === "dataset");
  return dataset ? [...steps, dataset] : steps;
}
