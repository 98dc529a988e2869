/** Saving drafts: decisions of up to 100 documents a call, then labels set by hand, then settings, each with its ETag. */

import { patchDocument, saveDecisions } from "../api/client";
import { hostAnswer } from "../api/host-answers";
import { ApiError, messageOf } from "../api/http";
import type { DocumentItem, ErrorBody, Kind } from "../api/types";
import { changes, derive, stepsAfterDecisions, type Changes, type Draft, type Step } from "../domain/draft";
import { fitter, readLabels, sameLabels, writeLabels, type Labels } from "../domain/labels";
import type { Source } from "./source";

export type Saved =
  | ({ result: "saved" } & SavedDraft)
  /** An outage came between two calls: what is left to save, on top of the document as it is now. */
  | ({ result: "partly"; left: Step[] } & SavedDraft)
  | ({ result: "conflict" } & Conflict)
  | { result: "gone"; draft: Draft }
  | { result: "refused"; draft: Draft; message: string };

/** What a save did to a document. */
export interface SavedDraft {
  readonly draft: Draft;
  readonly document: DocumentItem;
  /** How many changes of labels the server made of it, each of which it can undo. */
  readonly changes: number;
  /** The ETags that the document had before and between the calls. */
  readonly former: readonly string[];
}

/** A save that met another version of its document. `changes` and `former` as in `SavedDraft`, until then. */
export interface Conflict {
  readonly draft: Draft;
  readonly mine: Labels | null;
  readonly theirs: DocumentItem;
  readonly changes: number;
  readonly former: readonly string[];
}

/** Where labels are saved. */
type Target = Pick<Source, "project" | "putLabels" | "blind">;

const BATCH = 100;
const PARALLEL = 4;

/**
 * Saves the drafts and reports each. Raises ApiError when nothing more can be saved now (locked, offline, forbidden);
 * what was saved until then has been reported. `signedIn`: whether the person whose drafts these are still is; it is
 * asked before each call.
 */
export async function save(
  source: Target,
  kind: Kind,
  drafts: readonly Draft[],
  known: (documentId: string) => DocumentItem | undefined,
  report: (saved: Saved) => void,
  signedIn: () => boolean = () => true,
): Promise<void> {
  const check = (): void => {
    if (!signedIn()) throw new ApiError(401, hostAnswer(401));
  };
  const work = drafts.map((draft) => new Save(source, kind, draft, known(draft.documentId), check));
  try {
    await saveAll(source.project, work, report, check);
  } catch (error) {
    for (const item of work) {
      const partly = item.partly();
      if (partly) report(partly);
    }
    throw error;
  }
}

async function saveAll(
  project: string,
  work: readonly Save[],
  report: (saved: Saved) => void,
  check: () => void,
): Promise<void> {
  const decided = work.filter((item) => item.decides);
  for (let i = 0; i < decided.length; i += BATCH) {
    check();
    const batch = decided.slice(i, i + BATCH);
    const results = await saveDecisions(
      project,
      batch.map((item) => item.decision()),
    );
    for (const [index, item] of batch.entries()) item.decided(results[index]!);
    for (const item of batch) if (!item.open) report(item.finished());
  }
  const rest = work.filter((item) => item.open);
  for (let i = 0; i < rest.length; i += PARALLEL) {
    const ended = await Promise.allSettled(
      rest.slice(i, i + PARALLEL).map(async (item) => report(await item.finish())),
    );
    const failure = ended.find((outcome) => outcome.status === "rejected");
    if (failure) throw failure.reason;
  }
}

class Save {
  private eTag: string;
  private readonly former: string[] = [];
  /** The labels that the server has, as far as we know. */
  private known: Labels | null;
  private readonly wanted: Changes;
  private ended: Saved | null = null;
  private changes = 0;

  constructor(
    private readonly source: Target,
    private readonly kind: Kind,
    private readonly draft: Draft,
    private readonly read: DocumentItem | undefined,
    private readonly check: () => void,
  ) {
    this.eTag = draft.base.eTag;
    this.known = draft.base.labels;
    this.wanted = changes(draft, kind);
  }

  get decides(): boolean {
    return this.wanted.accept.length + this.wanted.reject.length > 0;
  }

  get open(): boolean {
    return this.ended === null && (!!this.left().length || !this.decides);
  }

  /** What is to be saved after the decisions. */
  private left(): Step[] {
    return stepsAfterDecisions(this.wanted, this.known);
  }

  private get relabels(): boolean {
    return !sameLabels(this.known, this.wanted.labels);
  }

  decision(): { documentId: string; eTag: string; accept: string[]; reject: string[] } {
    const { accept, reject } = this.wanted;
    return { documentId: this.draft.documentId, eTag: this.eTag, accept, reject };
  }

  decided(result: { status: string; eTag?: string; document?: DocumentItem; error?: ErrorBody }): void {
    if (result.status === "saved") {
      this.changes++;
      this.changedTo(result.eTag ?? result.document?.eTag ?? this.eTag);
      this.known = derive(this.draft.base, [{ do: "accept", ids: this.wanted.accept }], this.kind).labels;
    } else if (result.status === "conflict" && result.document && this.hasDecisions(result.document)) {
      this.changes++; // an answer was lost: these are our own decisions
      this.changedTo(result.document.eTag);
      this.known = readLabels(result.document, this.kind);
    } else if (result.status === "conflict" && result.document) {
      this.ended = this.conflict(result.document);
    } else if (result.status === "notFound") {
      this.ended = { result: "gone", draft: this.draft };
    } else {
      this.ended = { result: "refused", draft: this.draft, message: result.error?.message ?? result.status };
    }
  }

  private changedTo(eTag: string): void {
    if (eTag !== this.eTag) this.former.push(this.eTag);
    this.eTag = eTag;
  }

  /** Whether a document is as our decisions leave it. */
  private hasDecisions(now: DocumentItem): boolean {
    const { accept, reject } = this.wanted;
    const open = new Set(now.suggestions.map((s) => s.id));
    const expected = derive(this.draft.base, [{ do: "accept", ids: accept }], this.kind).labels;
    return (
      ![...accept, ...reject].some((id) => open.has(id)) && sameLabels(expected, readLabels(now, this.kind))
    );
  }

  /** What was saved before an outage, if that was not all; null when nothing was. */
  partly(): Saved | null {
    if (this.ended || !this.changes) return null;
    return { result: "partly", ...this.done(this.after()), left: this.left() };
  }

  /** What became of a draft that the decisions were all of. */
  finished(): Saved {
    return (this.ended ??= this.saved(this.after()));
  }

  /** Labels by hand and settings; each answer brings the ETag for the next. */
  async finish(): Promise<Saved> {
    try {
      let last: DocumentItem | null = null;
      const { documentId } = this.draft;
      if (this.relabels) {
        this.check();
        last = await this.putLabels();
        this.changedTo(last.eTag);
        this.known = this.wanted.labels;
        this.changes++;
      }
      const body = {
        ...(this.wanted.dataset ? { dataset: this.wanted.dataset } : {}),
        ...(this.wanted.confirm && !(last && !last.contentChanged) ? { contentChanged: false } : {}),
        ...(this.wanted.flagged === null ? {} : { flagged: this.wanted.flagged }),
        ...(this.wanted.note === null ? {} : { note: this.wanted.note }),
      };
      if (Object.keys(body).length) {
        this.check();
        last = await patchDocument(this.source.project, documentId, body, this.eTag);
        this.changedTo(last.eTag);
      }
      this.ended = this.saved(last ?? this.after());
    } catch (error) {
      this.ended = this.failed(error);
    }
    return this.ended;
  }

  /** Sets the labels; those of a try whose answer was lost are there already. */
  private async putLabels(): Promise<DocumentItem> {
    const { documentId } = this.draft;
    const { labels } = this.wanted;
    try {
      return await this.source.putLabels(documentId, writeLabels(labels, this.kind), this.eTag);
    } catch (error) {
      const now = error instanceof ApiError ? error.document : undefined;
      if (now && sameLabels(readLabels(now, this.kind), labels)) return now;
      throw error;
    }
  }

  private saved(document: DocumentItem): Saved {
    return { result: "saved", ...this.done(document) };
  }

  private done(document: DocumentItem): SavedDraft {
    const { draft, changes, former } = this;
    return { draft, document, changes, former };
  }

  private conflict(theirs: DocumentItem): Saved {
    const { draft, changes } = this;
    const former = [...this.former, this.eTag];
    return { result: "conflict", draft, mine: this.wanted.labels, theirs, changes, former };
  }

  private failed(error: unknown): Saved {
    const { draft } = this;
    if (!(error instanceof ApiError)) return { result: "refused", draft, message: messageOf(error) };
    if (error.document) return this.conflict(error.document);
    if (error.status === 404) return { result: "gone", draft };
    const refused = error.status === 400 || (this.source.blind && error.status === 409 && !error.locked);
    if (refused) return { result: "refused", draft, message: messageOf(error) };
    throw error;
  }

  /** The document after our decisions, as the rules give it: a second read would only cost time. */
  private after(): DocumentItem {
    const { base } = this.draft;
    const decided = new Set([...this.wanted.accept, ...this.wanted.reject]);
    const fits = fitter(this.known, this.kind);
    const suggestions = base.suggestions.filter((s) => !decided.has(s.id) && fits(s));
    return {
      id: this.draft.documentId,
      location: this.draft.location,
      language: this.read?.language ?? "",
      dataset: this.wanted.dataset ?? base.dataset,
      status: suggestions.length ? "autoLabeled" : this.known ? "labeled" : "unlabeled",
      eTag: this.eTag,
      contentChanged: this.read?.contentChanged ?? false,
      missing: this.read?.missing ?? false,
      length: base.length,
      flagged: base.flagged ?? false,
      ...(base.note ? { note: base.note } : {}),
      suggestions,
      ...writeLabels(this.known, this.kind),
    };
  }
}
