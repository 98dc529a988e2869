/**
 * What a reviewer did to one document and has not saved: the document as it was read, and a list of steps.
 * Everything else is derived from the two, so undo is taking the last step away and a reload loses nothing.
 * A draft holds ids, categories and offsets, never the document's text.
 */

import type { Dataset, DocumentItem, Kind, Suggestion } from "../api/types";
import {
  add,
  change,
  fitter,
  isEntities,
  isSingle,
  NOTHING,
  overlaps,
  readLabels,
  remove,
  sameLabels,
  spanOf,
  type Labels,
  type Place,
} from "./labels";

export type Step =
  | { do: "accept" | "reject" | "reopen"; ids: readonly string[] }
  | { do: "relabel"; id: string; category: string }
  | { do: "add" | "remove"; place: Place }
  | { do: "change"; place: Place; category: string }
  | { do: "nothing" | "unlabel" | "confirm" }
  | { do: "set"; labels: Labels | null }
  | { do: "dataset"; dataset: Dataset };

export interface Base {
  readonly eTag: string;
  readonly labels: Labels | null;
  readonly suggestions: readonly Suggestion[];
  readonly dataset: Dataset;
  readonly length: number;
}

export interface Draft {
  readonly documentId: string;
  readonly location: string;
  readonly base: Base;
  /** Each step with the time it was taken, in milliseconds: undo goes backwards over all documents. */
  readonly steps: readonly (Step & { readonly at: number })[];
}

export type Verdict = "accepted" | "rejected";

export interface Derived {
  readonly labels: Labels | null;
  readonly verdicts: ReadonlyMap<string, Verdict>;
  readonly dataset: Dataset;
  readonly confirmed: boolean;
}

export function baseOf(document: DocumentItem, kind: Kind): Base {
  return {
    eTag: document.eTag,
    labels: readLabels(document, kind),
    suggestions: document.suggestions ?? [],
    dataset: document.dataset,
    length: document.length ?? 0,
  };
}

export function startDraft(document: DocumentItem, kind: Kind): Draft {
  return { documentId: document.id, location: document.location, base: baseOf(document, kind), steps: [] };
}

export const withStep = (draft: Draft, step: Step, at: number): Draft => ({
  ...draft,
  steps: [...draft.steps, { ...step, at }],
});

export const withoutLastStep = (draft: Draft): Draft => ({ ...draft, steps: draft.steps.slice(0, -1) });

export function derive(base: Base, steps: readonly Step[], kind: Kind): Derived {
  let labels = base.labels;
  let dataset = base.dataset;
  let confirmed = false;
  const verdicts = new Map<string, Verdict>();
  const known = new Map(base.suggestions.map((s) => [s.id, s]));
  for (const step of steps) {
    switch (step.do) {
      case "accept":
        labels = accept(
          step.ids.flatMap((id) => known.get(id) ?? []),
          labels,
          verdicts,
          kind,
          base.length,
        );
        break;
      case "reject":
        for (const id of step.ids) labels = withdraw(known.get(id), labels, verdicts, base, "rejected");
        break;
      case "reopen":
        for (const id of step.ids) labels = withdraw(known.get(id), labels, verdicts, base, null);
        break;
      case "relabel": {
        const one = known.get(step.id);
        labels = withdraw(one, labels, verdicts, base, "rejected");
        if (one) labels = add(labels, [{ ...placeOf(one), category: step.category }], kind, base.length);
        break;
      }
      case "add":
        labels = add(labels, [step.place], kind, base.length);
        break;
      case "remove":
        labels = remove(labels, step.place);
        if (isSingle(kind) && !labels?.categories.length) labels = null; // taking the one class away means: not labeled
        break;
      case "change":
        labels = change(labels, step.place, step.category);
        break;
      case "nothing":
        labels = emptied(labels, base.length, kind);
        break;
      case "set":
        labels = step.labels;
        break;
      case "unlabel":
        labels = null;
        break;
      case "dataset":
        dataset = step.dataset;
        break;
      case "confirm":
        confirmed = true;
        break;
    }
  }
  return { labels, verdicts, dataset, confirmed };
}

/** The suggestions that still wait for a decision, in the order of the document. */
export function pending(base: Base, derived: Derived, kind: Kind): Suggestion[] {
  const fits = fitter(derived.labels, kind);
  return base.suggestions.filter((s) => !derived.verdicts.has(s.id) && fits(s));
}

/** What the server must be told, in this order: decisions, then labels that decisions do not give, then settings. */
export interface Changes {
  readonly accept: string[];
  readonly reject: string[];
  readonly labels: Labels | null;
  readonly dataset: Dataset | null;
  readonly confirm: boolean;
}

export function changes(draft: Draft, kind: Kind): Changes {
  const { labels, verdicts, dataset, confirmed } = derive(draft.base, draft.steps, kind);
  const ids = (verdict: Verdict): string[] =>
    [...verdicts].filter(([, v]) => v === verdict).map(([id]) => id);
  return {
    accept: ids("accepted"),
    reject: ids("rejected"),
    labels,
    dataset: dataset === draft.base.dataset ? null : dataset,
    confirm: confirmed,
  };
}

/** True when saving would change nothing, as after a decision that was taken back. */
export function isIdle(draft: Draft, kind: Kind): boolean {
  const { accept: yes, reject: no, labels, dataset, confirm } = changes(draft, kind);
  return !yes.length && !no.length && !dataset && !confirm && sameLabels(labels, draft.base.labels);
}

export function placeOf(suggestion: Suggestion): Place {
  return suggestion.offset === undefined || suggestion.length === undefined
    ? { category: suggestion.category }
    : { category: suggestion.category, offset: suggestion.offset, length: suggestion.length };
}

/** Accepts what still fits, each judged with the ones before it. */
function accept(
  suggestions: readonly Suggestion[],
  labels: Labels | null,
  verdicts: Map<string, Verdict>,
  kind: Kind,
  length: number,
): Labels | null {
  const fits = fitter(labels, kind);
  const taken: Suggestion[] = [];
  for (const one of suggestions) {
    if (verdicts.get(one.id) === "accepted" || !fits(one) || taken.some((t) => excludes(t, one, kind)))
      continue;
    verdicts.set(one.id, "accepted");
    taken.push(one);
  }
  return taken.length ? add(labels, taken.map(placeOf), kind, length) : labels;
}

function excludes(a: Suggestion, b: Suggestion, kind: Kind): boolean {
  if (isSingle(kind)) return true;
  return isEntities(kind) ? overlaps(spanOf(a), spanOf(b)) : a.category === b.category;
}

/** Takes an accepted suggestion out of the labels again; a document that had no labels has none again. */
function withdraw(
  one: Suggestion | undefined,
  labels: Labels | null,
  verdicts: Map<string, Verdict>,
  base: Base,
  verdict: Verdict | null,
): Labels | null {
  if (!one) return labels;
  const was = verdicts.get(one.id);
  verdicts.delete(one.id);
  if (verdict) verdicts.set(one.id, verdict);
  if (was !== "accepted") return labels;
  const rest = remove(labels, placeOf(one));
  const empty = !rest || (!rest.categories.length && !rest.regions.some((r) => r.labels.length));
  return empty && !base.labels ? null : rest;
}

function emptied(labels: Labels | null, length: number, kind: Kind): Labels {
  if (!isEntities(kind)) return NOTHING;
  const regions = labels?.regions.length ? labels.regions : [{ offset: 0, length, labels: [] }];
  return { categories: [], regions: regions.map((r) => ({ ...r, labels: [] })) };
}
