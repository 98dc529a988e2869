/** Unsaved work on its way to the server: saving, autosave, conflicts, and taking back what was saved. */

import { batch, computed, effect, signal, type ReadonlySignal } from "@preact/signals";
import { undoDocument, undoReviewAll } from "../api/client";
import { ApiError, messageOf } from "../api/http";
import type { DocumentItem } from "../api/types";
import { baseOf, derive, type Draft, type Step } from "../domain/draft";
import type { Labels } from "../domain/labels";
import { plural } from "../domain/format";
import type { Review } from "./review";
import { save, type Saved } from "./save";
import { toast } from "./toasts";

const AUTOSAVE_MS = 1_500;
const AUTOSAVE_KEY = "labelbridge.autosave";

export interface Conflict {
  readonly draft: Draft;
  readonly mine: Labels | null;
  readonly theirs: DocumentItem;
}

/** What the server has and can take back, newest last. */
type Done = { readonly at: number } & ({ readonly documentId: string } | { readonly bulkJob: string });

export class Saving {
  readonly busy = signal(false);
  readonly autosave = signal(localStorage.getItem(AUTOSAVE_KEY) === "on");
  readonly conflicts = signal<ReadonlyMap<string, Conflict>>(new Map());
  readonly showConflicts = signal(false);
  /** Why a document was refused, by its id. */
  readonly refusals = signal<ReadonlyMap<string, string>>(new Map());
  readonly canUndo: ReadonlySignal<boolean>;
  private readonly done = signal<readonly Done[]>([]);

  constructor(private readonly review: Review) {
    this.canUndo = computed(() => review.drafts.all.value.size > 0 || this.done.value.length > 0);
  }

  setAutosave(on: boolean): void {
    this.autosave.value = on;
    localStorage.setItem(AUTOSAVE_KEY, on ? "on" : "off");
  }

  /** Saves all unsaved work. `loud`: the reviewer asked for it, so say how it went. */
  async save(loud = false): Promise<void> {
    const { drafts, documents, open, kind } = this.review;
    if (this.busy.value) return;
    const unsaved = drafts.unsaved.value.filter((d) => !this.conflicts.value.has(d.documentId));
    if (!unsaved.length) return this.nothingToSave(loud);
    this.busy.value = true;
    let saved = 0;
    try {
      await save(
        open.name,
        kind,
        unsaved,
        (id) => documents.peek(id),
        (one) => {
          if (one.result === "saved") saved++;
          this.report(one, loud);
        },
      );
    } catch (error) {
      this.failed(error);
    } finally {
      this.busy.value = false;
    }
    if (!saved) return;
    if (loud) toast(`Saved the labels of ${plural(saved, "document")}.`, "good");
    void open.refreshStatistics();
    void open.refreshCategories().catch(() => undefined);
  }

  /** Saves by itself a moment after each step, while that is switched on. */
  watch(): () => void {
    let timer = 0;
    const stop = effect(() => {
      clearTimeout(timer);
      const waiting = this.review.drafts.unsaved.value.some((d) => !this.conflicts.value.has(d.documentId));
      if (!this.autosave.value || !waiting || this.review.locked.value) return;
      timer = window.setTimeout(() => void this.save(), AUTOSAVE_MS);
    });
    return () => {
      clearTimeout(timer);
      stop();
    };
  }

  /** Remembers a decision on many documents, so that undo takes it back as one. */
  bulkDone(bulkJob: string): void {
    this.done.value = [...this.done.value, { bulkJob, at: Date.now() }];
  }

  get newest(): number {
    return this.done.value.at(-1)?.at ?? 0;
  }

  /** Takes back the newest thing that was saved; answers the id of the document to show, if it was one. */
  async undoSaved(): Promise<string | null> {
    const last = this.done.value.at(-1);
    if (!last) {
      toast("There is nothing to undo.");
      return null;
    }
    this.done.value = this.done.value.slice(0, -1);
    try {
      if ("bulkJob" in last) {
        await undoReviewAll(this.review.open.name, last.bulkJob);
        toast("The decision on many was undone.", "good");
        this.review.reread();
        return null;
      }
      await this.undoDocument(last.documentId);
      toast("The saved decision was undone.", "good");
      return last.documentId;
    } catch (error) {
      toast(messageOf(error), "bad");
      return null;
    } finally {
      void this.review.open.refreshStatistics();
    }
  }

  /** Takes back one decision on many, as its message offers. */
  async undoBulk(bulkJob: string): Promise<void> {
    const rest = this.done.value.filter((one) => !("bulkJob" in one) || one.bulkJob !== bulkJob);
    this.done.value = [...rest, { bulkJob, at: Date.now() }];
    await this.undoSaved();
  }

  /** Settles a conflict: with the labels given on top of theirs, or (`keep` false) with theirs alone. */
  settle(conflict: Conflict, labels: Labels | null, keep: boolean): void {
    const { draft, theirs } = conflict;
    const left = new Map(this.conflicts.value);
    left.delete(draft.documentId);
    batch(() => {
      this.conflicts.value = left;
      if (!left.size) this.showConflicts.value = false;
      this.review.drafts.drop(draft.documentId);
      this.review.keep(theirs);
    });
    if (!keep) return;
    this.review.drafts.rebase(draft, baseOf(theirs, this.review.kind), this.stepsTo(labels, conflict));
    void this.save(true);
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
    const dataset = draft.steps.findLast((s) => s.do === "dataset");
    return dataset ? [...steps, dataset] : steps;
  }

  private nothingToSave(loud: boolean): void {
    if (this.conflicts.value.size) this.showConflicts.value = loud;
    else if (loud) toast("Everything is saved.", "good");
  }

  private report(one: Saved, loud: boolean): void {
    const id = one.draft.documentId;
    const refusals = new Map(this.refusals.value);
    refusals.delete(id);
    if (one.result === "refused") refusals.set(id, one.message);
    batch(() => {
      this.refusals.value = refusals;
      if (one.result === "saved") this.saved(one.draft, one.document);
      if (one.result === "conflict") this.conflict(one, loud);
      if (one.result === "gone") this.review.drafts.drop(id);
    });
    if (one.result === "refused") toast(`“${one.draft.location}” could not be saved: ${one.message}`, "bad");
    if (one.result === "gone") {
      toast(
        `“${one.draft.location}” is no longer in the project; what was decided on it cannot be saved.`,
        "bad",
      );
    }
  }

  private conflict({ draft, mine, theirs }: Conflict, loud: boolean): void {
    this.conflicts.value = new Map(this.conflicts.value).set(draft.documentId, { draft, mine, theirs });
    if (loud) this.showConflicts.value = true;
  }

  private saved(draft: Draft, document: DocumentItem): void {
    this.review.drafts.saved(draft, document);
    this.review.keep(document);
    const rest = this.done.value.filter(
      (one) => !("documentId" in one) || one.documentId !== draft.documentId,
    );
    this.done.value = [...rest, { documentId: draft.documentId, at: Date.now() }];
  }

  private failed(error: unknown): void {
    if (error instanceof ApiError && error.locked) this.review.open.locked(error);
    else if (!(error instanceof ApiError && error.status === 401)) toast(messageOf(error), "bad");
  }

  private async undoDocument(id: string): Promise<void> {
    const { documents, open } = this.review;
    const known = documents.peek(id) ?? (await documents.load(id)).document;
    this.review.keep(await undoDocument(open.name, id, known.eTag));
  }
}
