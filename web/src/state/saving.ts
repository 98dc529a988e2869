/** Unsaved work on its way to the server: saving, autosave, retries, conflicts, and undo of what was saved. */

import { batch, computed, effect, signal, type ReadonlySignal, type Signal } from "@preact/signals";
import { undoReviewAll } from "../api/client";
import { ApiError, messageOf } from "../api/http";
import type { DocumentItem } from "../api/types";
import { person } from "../auth/session";
import { baseOf, changes, derive, lastAt, type Base, type Draft, type Step } from "../domain/draft";
import { readLabels, sameLabels, writeLabels, type Labels } from "../domain/labels";
import { plural } from "../domain/format";
import type { Review } from "./review";
import { save, type Conflict, type Saved, type SavedDraft } from "./save";
import { ofTab, readStored, writeStored } from "./storage";
import { dismissAbout, toast } from "./toasts";

/** Autosave waits for a pause in the work, but never longer than the second. */
const PAUSE_MS = 1_500;
const LONGEST_MS = 5_000;
/** So many saves of one document can be undone. */
const MOST_SAVES = 20;
/** So many saves can be undone after the page was loaded again, of all documents. */
const MOST_KEPT = 200;
/** Seconds until the next try after each failure of the same kind. */
const RETRY_SECONDS = [2, 5, 10, 20, 30];

/** One save of a document: how many changes the server can undo of it, and the labels before and after them. */
interface Change {
  readonly documentId: string;
  readonly changes: number;
  readonly before: Labels | null;
  readonly after: Labels | null;
  /**
   * How it is undone: by the server; by setting the labels of before where the server keeps no change that old; or
   * only so, because what the server would undo now is such a setting.
   */
  readonly by: "undo" | "undoOrSet" | "set";
}

/** What was saved and can be undone, newest last. */
type Done = { readonly at: number } & (Change | { readonly bulkJob: string });

/** How unsaved work stands: shown at all times. */
export type SaveState =
  | { readonly is: "saved" | "saving" }
  | { readonly is: "unsaved"; readonly documents: number }
  | {
      readonly is: "failed";
      readonly documents: number;
      readonly message: string;
      /** Whether trying again is of no use: the person may not save, or the project is gone. */
      readonly final: boolean;
    };

export class Saving {
  readonly busy = signal(false);
  readonly autosave: Signal<boolean>;
  readonly conflicts = signal<ReadonlyMap<string, Conflict>>(new Map());
  readonly showConflicts = signal(false);
  /** Why a document was refused, by its id, and the step that was its last then. */
  readonly refusals = signal<ReadonlyMap<string, { message: string; at: number }>>(new Map());
  readonly canUndo: ReadonlySignal<boolean>;
  readonly state: ReadonlySignal<SaveState>;
  private readonly done: Signal<readonly Done[]>;
  /** Why the last save failed, and how often in a row. */
  private readonly outage = signal<{ message: string; tries: number; final: boolean } | null>(null);
  private again = false;
  private unsavedSince = 0;

  /** `review`: the one that shows this work, or showed it last. */
  constructor(private review: Review) {
    const kept = `done|${review.drafts.prefix}`;
    this.done = signal(readStored<readonly Done[]>(kept, [], ofTab));
    this.done.subscribe((done) => writeStored(kept, done.slice(-MOST_KEPT), ofTab));
    this.autosave = signal(review.source.blind || readStored("autosave", false));
    this.canUndo = computed(() => review.drafts.all.value.size > 0 || this.done.value.length > 0);
    this.state = computed((): SaveState => {
      const documents = review.drafts.unsaved.value.length;
      if (this.busy.value) return { is: "saving" };
      if (!documents) return { is: "saved" };
      const outage = this.outage.value;
      if (!outage) return { is: "unsaved", documents };
      return { is: "failed", documents, message: outage.message, final: outage.final };
    });
  }

  /** Another view goes on with the same drafts: what a save that is on its way brings is shown there. */
  goOnIn(review: Review): this {
    this.review = review;
    return this;
  }

  setAutosave(on: boolean): void {
    this.autosave.value = on;
    writeStored("autosave", on);
  }

  /** Saves all unsaved work. `loud`: the reviewer asked for it, so a message says how it went. */
  async save(loud = false): Promise<void> {
    const { drafts, documents, kind, source } = this.review;
    if (!this.signedIn()) return;
    if (this.busy.value) return void (this.again = true);
    const unsaved = this.waiting();
    if (!unsaved.length) return this.nothingToSave(loud);
    this.busy.value = true;
    let saved = 0;
    try {
      await save(
        source,
        kind,
        unsaved,
        (id) => documents.peek(id),
        (outcome) => {
          if (outcome.result === "saved") saved++;
          this.report(outcome, loud);
        },
        () => this.signedIn(),
      );
      this.outage.value = null;
    } catch (error) {
      this.failed(error, loud);
    } finally {
      this.busy.value = false;
    }
    if (this.again) {
      this.again = false;
      if (!this.outage.value && drafts.unsaved.value.length) void this.save();
    }
    if (!saved) return;
    if (loud) toast(`Saved the labels of ${plural(saved, "document")}.`, "good");
    const { open } = this.review;
    void open.refreshStatistics();
    void open.refreshCategories().catch(() => undefined);
  }

  /** Another document is opened: with autosave, what was done on the last one is saved at once. */
  documentLeft(): void {
    if (!this.autosave.value || this.review.locked.value || this.outage.value) return;
    setTimeout(() => this.hopeful().length && void this.save()); // the next document is painted first
  }

  /** Saves by itself while autosave is on, and tries again after an outage. Returns how to end it. */
  watch(): () => void {
    let timer = 0;
    const stop = effect(() => {
      clearTimeout(timer);
      const unsaved = this.hopeful().length > 0;
      if (!unsaved) this.unsavedSince = 0;
      if (!unsaved || this.busy.value || this.review.locked.value || !this.signedIn()) return;
      const outage = this.outage.value;
      if (!outage && !this.autosave.value) return;
      this.unsavedSince ||= Date.now();
      const seconds = outage && RETRY_SECONDS[Math.min(outage.tries, RETRY_SECONDS.length) - 1]!;
      const pause = Math.max(0, Math.min(PAUSE_MS, this.unsavedSince + LONGEST_MS - Date.now()));
      timer = window.setTimeout(() => void this.save(), seconds ? seconds * 1_000 : pause);
    });
    const now = (): void => {
      if (this.outage.value || (this.autosave.value && document.visibilityState === "hidden"))
        void this.save();
    };
    window.addEventListener("online", now);
    document.addEventListener("visibilitychange", now);
    return () => {
      clearTimeout(timer);
      stop();
      window.removeEventListener("online", now);
      document.removeEventListener("visibilitychange", now);
    };
  }

  /** Remembers a bulk decision, so that undo takes it as one change. */
  bulkDone(bulkJob: string): void {
    this.done.value = [...this.done.value, { bulkJob, at: Date.now() }];
  }

  get newest(): number {
    return this.done.value.at(-1)?.at ?? 0;
  }

  /** Undoes the newest saved change; returns the id of its document, or null when it was no single document. */
  async undoSaved(): Promise<string | null> {
    const last = this.done.value.at(-1);
    if (!last) {
      toast("There is nothing to undo.");
      return null;
    }
    this.done.value = this.done.value.slice(0, -1);
    try {
      if ("bulkJob" in last) {
        dismissAbout(last.bulkJob);
        await undoReviewAll(this.review.open.name, last.bulkJob);
        toast("The bulk decision was undone.", "good");
        this.review.reread();
        return null;
      }
      await this.undoDocument(last);
      toast("The saved change was undone.", "good");
      return last.documentId;
    } catch (error) {
      toast(messageOf(error), "bad");
      return null;
    } finally {
      void this.review.open.refreshStatistics();
    }
  }

  /** Undoes the last saved change of a document, by any person, as its history offers. */
  async undoLastOf(document: DocumentItem): Promise<void> {
    const { drafts } = this.review;
    try {
      const undone = await this.review.source.undo(document, null);
      // A draft that changes nothing would show, and be saved on top of, the labels that were undone.
      if (!drafts.unsaved.value.some((draft) => draft.documentId === document.id)) drafts.drop(document.id);
      this.review.keep(undone);
      this.done.value = this.done.value.filter(
        (change) => !("documentId" in change) || change.documentId !== document.id,
      );
      toast("The saved change was undone.", "good");
    } catch (error) {
      toast(messageOf(error), "bad");
    } finally {
      void this.review.open.refreshStatistics();
    }
  }

  /** Whether a save of this person rejected suggestions of the document, and left it without labels. */
  onlyRejected(id: string): boolean {
    return this.done.value.some(
      (change) => "documentId" in change && change.documentId === id && !change.before && !change.after,
    );
  }

  /** Undoes one bulk decision, as its message offers. */
  async undoBulk(bulkJob: string): Promise<void> {
    const rest = this.done.value.filter((change) => !("bulkJob" in change) || change.bulkJob !== bulkJob);
    this.done.value = [...rest, { bulkJob, at: Date.now() }];
    await this.undoSaved();
  }

  /** Settles a conflict: with the labels given on top of theirs, or (`keep` false) with theirs alone. */
  settle(conflict: Conflict, labels: Labels | null, keep: boolean): void {
    const { draft, theirs, former } = conflict;
    const left = new Map(this.conflicts.value);
    left.delete(draft.documentId);
    batch(() => {
      this.conflicts.value = left;
      if (!left.size) this.showConflicts.value = false;
      this.review.drafts.drop(draft.documentId);
      this.review.keep(theirs, former);
    });
    if (!keep) return;
    this.review.drafts.rebase(draft, baseOf(theirs, this.review.kind), this.stepsTo(labels, conflict));
    void this.save(true);
  }

  /** Whether the person whose work this is is still signed in: it is never saved under another name. */
  private signedIn(): boolean {
    return person.value?.name === this.review.by;
  }

  /** Drafts that a save can send: those in conflict wait for a person. */
  private waiting(): Draft[] {
    return this.review.drafts.unsaved.value.filter((d) => !this.conflicts.value.has(d.documentId));
  }

  /** Of those, what may succeed without a person: a refused draft is sent again only after another step. */
  private hopeful(): Draft[] {
    return this.waiting().filter((d) => this.refusals.value.get(d.documentId)?.at !== lastAt(d));
  }

  /** Steps that lead from the document as it is now to the labels that the reviewer wants. */
  private stepsTo(labels: Labels | null, { draft, theirs }: Conflict): Step[] {
    const { verdicts } = derive(draft.base, draft.steps, this.review.kind);
    const still = new Set(theirs.suggestions.map((s) => s.id));
    const pick = (verdict: string): string[] =>
      [...verdicts].filter(([id, v]) => v === verdict && still.has(id)).map(([id]) => id);
    const steps: Step[] = [
      { do: "accept", ids: pick("accepted") },
      { do: "reject", ids: pick("rejected") },
      { do: "set", labels },
    ];
    const settings = (["dataset", "flag", "note"] as const).flatMap(
      (what) => draft.steps.findLast((s) => s.do === what) ?? [],
    );
    return [...steps, ...settings];
  }

  private nothingToSave(loud: boolean): void {
    if (this.conflicts.value.size) this.showConflicts.value = loud;
    else if (loud) toast("Everything is saved.", "good");
  }

  private report(outcome: Saved, loud: boolean): void {
    const id = outcome.draft.documentId;
    const refusals = new Map(this.refusals.value);
    refusals.delete(id);
    if (outcome.result === "refused")
      refusals.set(id, { message: outcome.message, at: lastAt(outcome.draft) });
    batch(() => {
      this.refusals.value = refusals;
      if (outcome.result === "saved") this.saved(outcome);
      if (outcome.result === "partly") this.partlySaved(outcome);
      if (outcome.result === "conflict") this.conflict(outcome, loud);
      if (outcome.result === "gone") this.review.drafts.drop(id);
    });
    if (outcome.result === "refused")
      toast(`“${outcome.draft.location}” was not saved: ${outcome.message}`, "bad");
    if (outcome.result === "gone") {
      toast(`“${outcome.draft.location}” is no longer in the project; its decisions cannot be saved.`, "bad");
    }
  }

  private conflict(conflict: Conflict, loud: boolean): void {
    const { draft, mine, theirs, former } = conflict;
    if (this.isThere(draft, mine, theirs)) {
      const { accept, reject } = changes(draft, this.review.kind);
      // A flag, a note or a dataset alone is no change that the server can undo.
      const labeled = accept.length + reject.length > 0 || !sameLabels(mine, draft.base.labels);
      const made = conflict.changes || (labeled ? 1 : 0);
      return this.saved({ draft, document: theirs, changes: made, former });
    }
    if (this.onlyMarked(draft, theirs)) {
      this.review.drafts.rebase(draft, baseOf(theirs, this.review.kind), [...draft.steps]);
      this.review.keep(theirs, former);
      this.again = true;
      return;
    }
    this.conflicts.value = new Map(this.conflicts.value).set(draft.documentId, conflict);
    if (loud) this.showConflicts.value = true;
  }

  /** A save whose answer was lost, or that someone else made as well: the document is already as it should be. */
  private isThere(draft: Draft, mine: Labels | null, theirs: DocumentItem): boolean {
    const { kind } = this.review;
    const { accept, reject, dataset, confirm, flagged, note } = changes(draft, kind);
    const open = new Set(theirs.suggestions.map((s) => s.id));
    return (
      sameLabels(mine, readLabels(theirs, kind)) &&
      ![...accept, ...reject].some((id) => open.has(id)) &&
      (dataset === null || dataset === theirs.dataset) &&
      !(confirm && theirs.contentChanged) &&
      (flagged === null || flagged === theirs.flagged) &&
      (note === null || note === (theirs.note ?? ""))
    );
  }

  /**
   * Someone else only flagged the document or wrote a note, and this person did not: nothing to choose. The same
   * suggestions tell that the text is the same, for their ids follow from it.
   */
  private onlyMarked({ base, ...draft }: Draft, theirs: DocumentItem): boolean {
    const { kind } = this.review;
    const now = baseOf(theirs, kind);
    const ids = (of: Base): string => of.suggestions.map((s) => s.id).join();
    const marked = now.flagged !== (base.flagged ?? false) || now.note !== (base.note ?? "");
    return (
      marked &&
      !draft.steps.some((step) => step.do === "flag" || step.do === "note") &&
      base.suggestions.length > 0 &&
      ids(base) === ids(now) &&
      base.dataset === now.dataset &&
      sameLabels(base.labels, now.labels)
    );
  }

  private partlySaved(outcome: Saved & { result: "partly" }): void {
    this.review.drafts.partlySaved(outcome.draft, outcome.document, outcome.left);
    this.kept(outcome);
  }

  private saved(outcome: SavedDraft): void {
    this.review.drafts.saved(outcome.draft, outcome.document);
    this.kept(outcome);
  }

  private kept({ draft, document, changes, former }: SavedDraft): void {
    this.review.keep(document, former);
    if (!changes) return;
    const { documentId } = draft;
    const before = draft.base.labels;
    const after = readLabels(document, this.review.kind);
    const isOf = (change: Done): change is Done & Change =>
      "documentId" in change && change.documentId === documentId;
    const earlier = this.done.value.filter(isOf);
    const last = earlier.at(-1);
    // Where someone else changed the labels in between, no earlier save can be undone.
    const follows = !last || sameLabels(last.after, before);
    const dropped = new Set<Done>(follows ? earlier.slice(0, 1 - MOST_SAVES) : earlier);
    this.done.value = [
      ...this.done.value.filter((change) => !dropped.has(change)),
      { documentId, changes, before, after, by: "undo", at: Date.now() },
    ];
  }

  private failed(error: unknown, loud: boolean): void {
    const status = error instanceof ApiError ? error.status : 0;
    if (status === 401 || !this.signedIn()) return;
    if (error instanceof ApiError && error.locked) return this.review.open.locked(error);
    const tries = this.outage.value?.tries ?? 0;
    const final = status === 403 || status === 404;
    this.outage.value = { message: messageOf(error), tries: tries + 1, final };
    if (loud || !tries) toast(messageOf(error), "bad");
  }

  /** Undoes all that one save changed: a decision, and the labels that were set after it. */
  private async undoDocument({ documentId, changes, before, after, by }: Change): Promise<void> {
    const { documents, source, kind } = this.review;
    let known = documents.peek(documentId) ?? (await documents.load(documentId)).document;
    const ours = sameLabels(readLabels(known, kind), after);
    if (!ours) throw new Error("Someone else has changed the labels of this document since.");
    let set = by === "set";
    try {
      for (let n = 0; n < changes && !set; n++) {
        known = await source.undo(known, before);
        this.review.keep(known);
      }
    } catch (error) {
      if (by === "undo" || !keepsNoMore(error)) throw error;
      set = true;
    }
    if (set) this.review.keep(await source.putLabels(documentId, writeLabels(before, kind), known.eTag));
    this.done.value = this.done.value.map((change) =>
      "documentId" in change && change.documentId === documentId && change.by !== "set"
        ? { ...change, by: set ? "set" : "undoOrSet" }
        : change,
    );
  }
}

/** The server has no change of the document to undo; with a document, the document is just not the one we know. */
const keepsNoMore = (error: unknown): boolean =>
  error instanceof ApiError && error.status === 409 && !error.locked && !error.document;
