/** Saving drafts: decisions of up to 100 documents a call, then labels set by hand, then settings, each with its ETag. */

import { patchDocument, putLabels, saveDecisions } from "../api/client";
import { ApiError, messageOf } from "../api/http";
import type { DocumentItem, ErrorBody, Kind } from "../api/types";
import { changes, derive, type Changes, type Draft } from "../domain/draft";
import { fitter, sameLabels, writeLabels, type Labels } from "../domain/labels";

export type Saved =
  | { result: "saved"; draft: Draft; document: DocumentItem }
  | { result: "conflict"; draft: Draft; mine: Labels | null; theirs: DocumentItem }
  | { result: "gone"; draft: Draft }
  | { result: "refused"; draft: Draft; message: string };

const BATCH = 100;
const PARALLEL = 4;

/**
 * Saves the drafts and reports each. Raises ApiError when nothing more can be saved now (locked, offline, forbidden);
 * what was saved until then has been reported.
 */
export async function save(
  project: string,
  kind: Kind,
  drafts: readonly Draft[],
  known: (documentId: string) => DocumentItem | undefined,
  report: (saved: Saved) => void,
): Promise<void> {
  const work = drafts.map((draft) => new Save(project, kind, draft, known(draft.documentId)));
  const decided = work.filter((one) => one.decides);
  for (let i = 0; i < decided.length; i += BATCH) {
    const batch = decided.slice(i, i + BATCH);
    const results = await saveDecisions(
      project,
      batch.map((one) => one.decision()),
    );
    for (const [index, one] of batch.entries()) one.decided(results[index]!);
    for (const one of batch) if (!one.open) report(one.outcome());
  }
  const rest = work.filter((one) => one.open);
  for (let i = 0; i < rest.length; i += PARALLEL) {
    await Promise.all(rest.slice(i, i + PARALLEL).map(async (one) => report(await one.finish())));
  }
}

class Save {
  private eTag: string;
  /** The labels that the server has, as far as we know. */
  private known: Labels | null;
  private readonly wanted: Changes;
  private ended: Saved | null = null;

  constructor(
    private readonly project: string,
    private readonly kind: Kind,
    private readonly draft: Draft,
    private readonly read: DocumentItem | undefined,
  ) {
    this.eTag = draft.base.eTag;
    this.known = draft.base.labels;
    this.wanted = changes(draft, kind);
  }

  get decides(): boolean {
    return this.wanted.accept.length + this.wanted.reject.length > 0;
  }

  get open(): boolean {
    return (
      this.ended === null && (this.relabels || !!this.wanted.dataset || this.wanted.confirm || !this.decides)
    );
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
      this.eTag = result.eTag ?? result.document?.eTag ?? this.eTag;
      this.known = derive(this.draft.base, [{ do: "accept", ids: this.wanted.accept }], this.kind).labels;
    } else if (result.status === "conflict" && result.document) {
      this.ended = {
        result: "conflict",
        draft: this.draft,
        mine: this.wanted.labels,
        theirs: result.document,
      };
    } else if (result.status === "notFound") {
      this.ended = { result: "gone", draft: this.draft };
    } else {
      this.ended = { result: "refused", draft: this.draft, message: result.error?.message ?? result.status };
    }
  }

  outcome(): Saved {
    return this.ended ?? { result: "saved", draft: this.draft, document: this.after() };
  }

  /** Labels by hand and settings; each answer brings the ETag for the next. */
  async finish(): Promise<Saved> {
    try {
      let last: DocumentItem | null = null;
      const { documentId } = this.draft;
      if (this.relabels) {
        last = await putLabels(
          this.project,
          documentId,
          writeLabels(this.wanted.labels, this.kind),
          this.eTag,
        );
        this.eTag = last.eTag;
      }
      const body = {
        ...(this.wanted.dataset ? { dataset: this.wanted.dataset } : {}),
        ...(this.wanted.confirm && !(last && !last.contentChanged) ? { contentChanged: false } : {}),
      };
      if (Object.keys(body).length) last = await patchDocument(this.project, documentId, body, this.eTag);
      return { result: "saved", draft: this.draft, document: last ?? this.after() };
    } catch (error) {
      return this.failed(error);
    }
  }

  private failed(error: unknown): Saved {
    const { draft } = this;
    if (!(error instanceof ApiError)) return { result: "refused", draft, message: messageOf(error) };
    if (error.document)
      return { result: "conflict", draft, mine: this.wanted.labels, theirs: error.document };
    if (error.status === 404) return { result: "gone", draft };
    if (error.status === 400) return { result: "refused", draft, message: messageOf(error) };
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
      suggestions,
      ...writeLabels(this.known, this.kind),
    };
  }
}
