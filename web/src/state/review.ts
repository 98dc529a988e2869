/** The state of the review page: the list, the current document, the suggestion pointed at, and the commands. */

import { batch, computed, effect, signal, type ReadonlySignal } from "@preact/signals";
import { may, person } from "../auth/session";
import type { DocumentItem, Kind, Suggestion } from "../api/types";
import { baseOf, derive, derivedOf, pending, type Base, type Derived, type Step } from "../domain/draft";
import { isEntities } from "../domain/labels";
import { matchesOf } from "../domain/matches";
import { Choices } from "./choices";
import { Dialogs } from "./dialogs";
import { Documents } from "./documents";
import { Drafts } from "./drafts";
import { apiQuery, type Filters } from "./filters";
import { DocumentList, type Row } from "./list";
import type { OpenProject } from "./project";
import { Labeling } from "./labeling";
import { goOn, hide, show, takeOver, type Work } from "./left";
import { Note } from "./note";
import { Opening, type At } from "./opening";
import { Saving } from "./saving";
import type { Loaded, Source } from "./source";
import { readStored, writeStored } from "./storage";
import { toast } from "./toasts";

const AHEAD = 4;

export class Review {
  /** The name of the person whose work this is. */
  readonly by = person.value?.name ?? "";
  readonly drafts: Drafts;
  readonly documents: Documents;
  readonly saving: Saving;
  readonly labeling: Labeling;
  readonly choices: Choices;
  readonly list = signal<DocumentList | null>(null);
  readonly current = signal<Loaded | null>(null);
  readonly index = signal(-1);
  filters: Filters | null = null;
  readonly opening: Opening;
  readonly dialogs = new Dialogs(() => this.isMoving());
  /** The id of the suggestion that accept, reject and the number keys mean. */
  readonly cursor = signal<string | null>(null);
  /** Where the current text has what the list was searched for, and which of the matches is pointed at. */
  readonly found: ReadonlySignal<readonly { offset: number; length: number }[]>;
  readonly foundAt = signal(0);
  /** Whether list or document are being read, and nothing says yet why they cannot be. */
  readonly reads: ReadonlySignal<boolean>;
  readonly derived: ReadonlySignal<Derived | null>;
  readonly waiting: ReadonlySignal<Suggestion[]>;
  readonly waitingIds: ReadonlySignal<ReadonlySet<string>>;
  /** Whether the guidelines are shown beside the text. */
  readonly showsGuidelines = signal(readStored("guidelines", false));
  readonly note = new Note(this);
  /** Whether the list is open on a phone, where it lies over the text. */
  readonly listOpen = signal(false);
  /** Why no label of the project can be changed now, or null. */
  readonly lockReason: ReadonlySignal<string | null>;
  readonly locked: ReadonlySignal<boolean>;
  /** Why the labels of the current document cannot be changed now, or null. */
  readonly readOnly: ReadonlySignal<string | null>;
  /** Why this person cannot label the documents of a second review, or null. */
  private readonly refusal = signal<string | null>(null);
  private readonly stops: (() => void)[] = [];
  private readonly work: Work;
  private undoing = Promise.resolve();
  /** Whether a saved change is being undone, after which its document is shown. */
  private undoes = false;

  constructor(
    readonly open: OpenProject,
    readonly source: Source,
    /** Whether it lists all documents to label them, not suggestions to decide on. */
    readonly byHand = false,
  ) {
    const same = { project: open.name, second: source.second, by: this.by };
    const former = takeOver(same);
    this.drafts = former?.drafts ?? new Drafts(this.by, open.name, this.kind, undefined, source.drafts);
    this.documents = new Documents(source);
    this.opening = new Opening(this.documents, this.show, () => (this.current.value = null));
    source.refusal(this.by).then(
      (refusal) => (this.refusal.value = refusal),
      () => undefined, // the list says why nothing can be read
    );
    this.choices = new Choices(open.name, open.categories);
    this.saving = former?.saving.goOnIn(this) ?? new Saving(this);
    this.work = { ...same, drafts: this.drafts, saving: this.saving };
    show(this.work);
    this.labeling = new Labeling(this);
    this.derived = computed(() => {
      const loaded = this.current.value;
      if (!loaded) return null;
      const draft = this.drafts.all.value.get(loaded.document.id);
      return draft ? derivedOf(draft, this.kind) : derive(baseOf(loaded.document, this.kind), [], this.kind);
    });
    this.found = computed(() => {
      const search = this.list.value?.search;
      return search ? matchesOf(this.current.value?.text ?? "", search) : [];
    });
    this.waiting = computed(() => {
      const loaded = this.current.value;
      return loaded && this.derived.value
        ? pending(this.base(loaded.document), this.derived.value, this.kind)
        : [];
    });
    this.reads = computed(() => {
      const list = this.list.value;
      if (this.opening.failure.value !== null || list?.error.value) return false;
      return this.opening.id.value !== null || !!list?.loading.value;
    });
    this.waitingIds = computed(() => new Set(this.waiting.value.map((s) => s.id)));
    this.lockReason = computed(() => {
      const lock = open.lock.value;
      if (lock) return `${lock.reason} ${lock.until}`;
      return may("Labels.Review")
        ? null
        : "You have read-only access. Labeling requires the Labels.Review role.";
    });
    this.locked = computed(() => this.lockReason.value !== null);
    this.readOnly = computed(() => {
      const unreadable = this.current.value?.document.status === "rejected";
      return (
        this.lockReason.value ??
        this.refusal.value ??
        (unreadable ? "This file is not a text document, so it cannot be labeled." : null)
      );
    });
    open.onUnlock = this.unlocked;
    this.stops.push(this.drafts.listen(), this.saving.watch(), effect(this.findRow));
  }

  get kind(): Kind {
    return this.open.kind.value;
  }

  /** What is being saved still is, with autosave all of it, unless the person signed out: it is kept in the browser. */
  close(): void {
    const stop = (): void => this.stops.forEach((end) => end());
    const { open } = this;
    if (this.list.value && this.filters)
      open.lastList = { filters: this.filters, snapshot: this.list.value.snapshot() };
    this.list.value?.close();
    this.list.value = null; // nothing is looked for in it any more
    this.opening.close();
    if (open.onUnlock === this.unlocked) open.onUnlock = () => {};
    if (!hide(this.work) || person.value?.name !== this.by || !this.drafts.unsaved.value.length)
      return stop();
    if (this.saving.autosave.value) void this.saving.save();
    goOn({ ...this.work, stop });
  }

  // --- moving -------------------------------------------------------------------------------------------------

  /** Shows the list for these filters, and in it the document `id` or the first. */
  async filter(filters: Filters, id: string | null): Promise<void> {
    this.filters = filters;
    this.list.value?.close();
    this.opening.cancel();
    const list = this.listOf(filters, id);
    batch(() => {
      this.list.value = list;
      this.index.value = -1;
      if (!id) this.current.value = null;
    });
    const reading = id ? list.find((row) => row.id === id) : list.ensure(0);
    if (id) await this.openId(id);
    await reading;
    await list.begun;
    if (this.list.value !== list || this.asked || !list.rows.value.length) return;
    await this.openRow(this.firstRow(list.rows.value));
  }

  /** The id of the document that was asked for, or else of the one that is shown. */
  private get asked(): string | undefined {
    return this.opening.id.value ?? this.current.value?.document.id;
  }

  /** The row of that document, also when it is read only after the document, as on a later page of the list. */
  private readonly findRow = (): void => {
    const { asked } = this;
    const rows = this.list.value?.rows.value;
    if (!rows || !asked || rows[this.index.peek()]?.id === asked) return;
    const index = rows.findIndex((row) => row.id === asked);
    if (index >= 0) this.index.value = index;
  };

  /** A second review goes on where it ended. */
  private firstRow(rows: readonly Row[]): number {
    if (!this.source.blind) return 0;
    return Math.max(
      0,
      rows.findIndex((row) => row.status === "unlabeled" && !this.drafts.get(row.id)),
    );
  }

  /** A document that is opened again has its previous position in the list. */
  private listOf(filters: Filters, id: string | null): DocumentList {
    const last = this.open.lastList;
    const same = id && last && JSON.stringify(last.filters) === JSON.stringify(filters);
    const snapshot = same && last.snapshot.rows.some((row) => row.id === id) ? last.snapshot : undefined;
    return new DocumentList(
      this.source,
      this.kind,
      apiQuery(filters),
      filters.search,
      (document) => this.documents.keep(document),
      snapshot,
    );
  }

  /** The address names another document of the list. */
  async goTo(id: string): Promise<void> {
    if (id === this.asked) return;
    void this.list.value?.find((row) => row.id === id);
    await this.jumpTo(id);
  }

  async openRow(index: number, at: At = "first"): Promise<void> {
    const row = this.list.value?.rows.value[index];
    if (!row) return;
    this.index.value = index;
    const opened = this.openId(row.id, at);
    setTimeout(() => this.lookAhead(index)); // the current document is painted first
    await opened;
  }

  openId(id: string, at: At = "first"): Promise<void> {
    return this.opening.open(id, at);
  }

  nextDocument(): boolean {
    return this.moveTo(this.index.value + 1, "first");
  }

  previousDocument(): boolean {
    return this.moveTo(this.index.value - 1, "last");
  }

  /** To the next suggestion, in this document or the one after. */
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
    if (!ids.length) return this.nothingToDecide();
    if (this.isMoving()) return;
    // Together: what follows from both is worked out once, with the next document.
    batch(() => {
      if (this.step({ do: "accept", ids }) && !this.nextDocument()) this.atTheEnd();
    });
  }

  rejectAll(): void {
    const ids = this.waiting.value.map((s) => s.id);
    if (ids.length) this.step({ do: "reject", ids });
  }

  /** Goes on to the next document when this decided suggestions, as every decision does. */
  noLabelApplies(): void {
    const decides = this.waiting.value.length > 0 || this.source.blind;
    if (this.step({ do: "nothing" }) && decides) this.leave();
  }

  /** In a second review: what is labeled is saved, and the next document is shown. */
  saveAndNext(): void {
    if (this.isMoving()) return;
    if (!this.derived.value?.labels) return toast("Label the document first, or say that no label applies.");
    this.leave();
  }

  /** To the next document; the last one of a second review is saved without another to go to. */
  leave(): void {
    if (this.nextDocument()) return;
    if (this.source.blind) void this.saving.save();
    this.atTheEnd();
  }

  /** Flags and notes are for other people: files that cannot be labeled have them too. */
  toggleFlag(): void {
    const flagged = this.derived.value?.flagged;
    if (flagged !== undefined && !this.isMoving()) this.mark({ do: "flag", flagged: !flagged });
  }

  mark(step: Step & { do: "flag" | "note" }, document = this.current.value?.document): void {
    if (!document) return;
    if (this.lockReason.value) return toast(this.lockReason.value, "bad");
    this.drafts.add(this.documents.peek(document.id) ?? document, step);
  }

  toggleGuidelines(): void {
    this.showsGuidelines.value = !this.showsGuidelines.value;
    writeStored("guidelines", this.showsGuidelines.value);
    if (this.showsGuidelines.value) void this.open.refreshGuidelines();
  }

  /** A step on the current document; false when its labels cannot be changed now. */
  step(step: Step): boolean {
    const loaded = this.current.value;
    if (!loaded) return false;
    if (this.readOnly.value) {
      toast(this.readOnly.value, "bad");
      return false;
    }
    if (this.isMoving()) return false;
    this.drafts.add(loaded.document, step);
    return true;
  }

  /**
   * Undoes the last step in whichever document; with nothing unsaved, the last saved change on the server. One at a
   * time: the server must have undone one before the next begins.
   */
  undo(): Promise<void> {
    const turn = this.undoing.then(() => this.undoNext());
    this.undoing = turn.then(() => undefined);
    return turn.then(({ shown }) => shown);
  }

  /** `shown`: when the document is shown, for which the next undo does not wait. */
  private async undoNext(): Promise<{ shown?: Promise<void> }> {
    const undone = this.saving.newest > this.drafts.newest ? null : this.drafts.undo();
    if (undone) return { shown: this.showUndone(undone.draft.documentId, undone.step) };
    this.undoes = true;
    const id = await this.saving.undoSaved().finally(() => (this.undoes = false));
    return id ? { shown: this.jumpTo(id) } : {};
  }

  private async showUndone(id: string, step: Step): Promise<void> {
    if (id !== this.current.value?.document.id) await this.jumpTo(id);
    if (id !== this.current.value?.document.id) return;
    if ("ids" in step) this.cursor.value = step.ids[0] ?? null;
    else if (step.do === "relabel") this.cursor.value = step.id;
  }

  /** Another document was asked for: nothing is decided on the one before it, which is shown until then. */
  isMoving(): boolean {
    const id = this.opening.id.value;
    const moving = id !== null && id !== this.current.value?.document.id;
    if (moving) toast(this.opening.failure.value ?? "The next document is still loading.");
    else if (this.undoes) toast("The saved change is still being undone.");
    return moving || this.undoes;
  }

  // --- helpers ------------------------------------------------------------------------------------------------

  /** Labels may have changed in the other studio meanwhile: read everything again, keep the drafts. */
  private readonly unlocked = (): void => {
    toast("Labels can be changed again.", "good");
    this.documents.forgetAll();
    const id = this.current.value?.document.id;
    if (id) void this.openId(id);
  };

  /** Keeps a document as the server now has it, wherever it is shown. `former`: the ETags that it had before. */
  keep(document: DocumentItem, former?: readonly string[]): void {
    this.documents.keepSaved(document, former);
    this.list.value?.update(document);
    const loaded = this.current.value;
    if (loaded?.document.id !== document.id) return;
    this.current.value = { ...loaded, document };
    if (!this.suggestionIds().includes(this.cursor.value ?? "")) this.pointAtFirst();
  }

  /** Reads list and documents again, after many changed at once. */
  reread(): void {
    this.documents.forgetAll();
    if (this.filters && this.list.value) void this.filter(this.filters, null); // else it was left
  }

  base(document: DocumentItem): Base {
    return this.drafts.get(document.id)?.base ?? baseOf(document, this.kind);
  }

  private readonly show = (loaded: Loaded, at: At): void => {
    if (loaded.document.id !== this.current.value?.document.id) {
      this.saving.documentLeft();
      this.dialogs.documentLeft();
    }
    batch(() => {
      this.labeling.selection.value = null;
      this.foundAt.value = 0;
      this.current.value = loaded;
      this.pointAtFirst(at);
    });
  };

  private pointAtFirst(at: At = "first"): void {
    const ids = this.suggestionIds();
    this.cursor.value = (at === "last" ? ids.at(-1) : (this.firstToDecide()?.id ?? ids[0])) ?? null;
  }

  /** The first in the text; in a list by uncertainty, the entity that put the document where it is. */
  private firstToDecide(): Suggestion | undefined {
    const [first, ...others] = this.waiting.value;
    if (!first || !isEntities(this.kind) || this.filters?.order !== "uncertainty") return first;
    return others.reduce(
      (least, suggestion) => (suggestion.confidence < least.confidence ? suggestion : least),
      first,
    );
  }

  suggestionIds(): string[] {
    const loaded = this.current.value;
    return loaded ? this.base(loaded.document).suggestions.map((s) => s.id) : [];
  }

  private decide(what: "accept" | "reject", id: string | null): void {
    if (!id || !this.waitingIds.value.has(id)) {
      if (this.waiting.value[0]) this.cursor.value = this.waiting.value[0].id;
      else this.nothingToDecide();
      return;
    }
    if (this.step({ do: what, ids: [id] })) this.advance(id);
  }

  /** Goes on from a document that is decided, saved or not; one without labels and decisions is not left by mistake. */
  private nothingToDecide(): void {
    if (this.isMoving() || !this.current.value) return;
    if (this.readOnly.value) return toast(this.readOnly.value);
    const { labels, verdicts } = this.derived.value!;
    const saved = this.saving.onlyRejected(this.current.value.document.id);
    if (labels || verdicts.size || saved) this.leave();
    else toast("This document has no suggestions.");
  }

  /** To the next suggestion without a decision, in this document or in the next. */
  advance(from: string): void {
    const ids = this.suggestionIds();
    const waiting = this.waitingIds.value;
    const at = ids.indexOf(from);
    const next = [...ids.slice(at + 1), ...ids.slice(0, at)].find((id) => waiting.has(id));
    if (next) this.cursor.value = next;
    else if (!this.nextDocument()) this.atTheEnd();
  }

  private moveTo(index: number, at: At): boolean {
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
    if (list?.error.value) toast(list.error.value, "bad");
    else if (list && !list.done.value) toast("The next documents are still loading.");
    else toast("That was the last document of this list.", "good");
  }

  private lookAhead(index: number): void {
    const list = this.list.value;
    if (!list) return;
    void (list.error.value ? list.retry() : list.ensure(index + 50));
    const rows = list.rows.value;
    this.documents.prefetch(
      [...rows.slice(index + 1, index + 1 + AHEAD), ...rows.slice(Math.max(0, index - 1), index)].map(
        (r) => r.id,
      ),
    );
  }
}
