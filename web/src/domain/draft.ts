/**
 * Unsaved work on one document: the document as it was read, and a list of steps. Everything else is derived from the
 * two: undo removes the last step, and a reload loses nothing. A draft holds ids, categories and offsets, never the
 * document's text.
 */

import type { Dataset, DocumentItem, Kind, Suggestion } from "../api/types";
import {
  add,
  change,
  fitter,
  isEntities,
  isSingle,
  NOTHING,
  overlapper,
  readLabels,
  remove,
  sameLabels,
  type Labels,
  type Place,
} from "./labels";

export type Step =
  | { do: "accept" | "reject" | "reopen"; ids: readonly string[] }
  | { do: "relabel"; id: string; category: string }
  | { do: "add" | "remove"; place: Place }
  | { do: "addAll"; places: readonly Place[] }
  | { do: "change"; place: Place; category: string }
  /** "nothing" is "no label applies": it rejects every suggestion as well. */
  | { do: "nothing" | "unlabel" | "confirm" }
  | { do: "set"; labels: Labels | null }
  | { do: "dataset"; dataset: Dataset }
  | { do: "flag"; flagged: boolean }
  | { do: "note"; note: string };

export interface Base {
  readonly eTag: string;
  readonly labels: Labels | null;
  readonly suggestions: readonly Suggestion[];
  readonly dataset: Dataset;
  readonly length: number;
  /** Absent in drafts of an earlier version. */
  readonly flagged?: boolean;
  readonly note?: string;
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
  readonly flagged: boolean;
  readonly note: string;
}

export function baseOf(document: DocumentItem, kind: Kind): Base {
  return {
    eTag: document.eTag,
    labels: readLabels(document, kind),
    suggestions: document.suggestions ?? [],
    dataset: document.dataset,
    length: document.length ?? 0,
    flagged: document.flagged,
    note: document.note ?? "",
  };
}

export function startDraft(document: DocumentItem, kind: Kind): Draft {
  return { documentId: document.id, location: document.location, base: baseOf(document, kind), steps: [] };
}

export const withStep = (draft: Draft, step: Step, at: number): Draft => ({
  ...draft,
  steps: [...draft.steps, { ...step, at }],
});

/** When the last step was taken; 0 before the first. */
export const lastAt = (draft: Draft): number => draft.steps.at(-1)?.at ?? 0;

export const withoutLastStep = (draft: Draft): Draft => ({ ...draft, steps: draft.steps.slice(0, -1) });

export function derive(base: Base, steps: readonly Step[], kind: Kind): Derived {
  let labels = base.labels;
  let dataset = base.dataset;
  let confirmed = false;
  let flagged = base.flagged ?? false;
  let note = base.note ?? "";
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
        const suggestion = known.get(step.id);
        if (!suggestion) break;
        labels = withdraw(suggestion, labels, verdicts, base, "rejected");
        labels = add(labels, [{ ...placeOf(suggestion), category: step.category }], kind, base.length);
        break;
      }
      case "add":
        labels = add(labels, [step.place], kind, base.length);
        break;
      case "addAll":
        labels = add(labels, step.places, kind, base.length);
        break;
      case "remove":
        labels = remove(labels, step.place);
        if (isSingle(kind) && !labels?.categories.length) labels = null; // without its class it is not labeled
        break;
      case "change":
        labels = change(labels, step.place, step.category);
        break;
      case "nothing":
        for (const suggestion of base.suggestions) verdicts.set(suggestion.id, "rejected");
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
      case "flag":
        flagged = step.flagged;
        break;
      case "note":
        note = step.note;
        break;
    }
  }
  return { labels, verdicts, dataset, confirmed, flagged, note };
}

const derivedDrafts = new WeakMap<Draft, Derived>();

/** The result of the steps of a draft; cached, because lists need it at every change of any draft. */
export function derivedOf(draft: Draft, kind: Kind): Derived {
  const known = derivedDrafts.get(draft);
  if (known) return known;
  const derived = derive(draft.base, draft.steps, kind);
  derivedDrafts.set(draft, derived);
  return derived;
}

/** The suggestions without a decision, in the order of the document. */
export function pending(base: Base, derived: Derived, kind: Kind): Suggestion[] {
  const fits = fitter(derived.labels, kind);
  return base.suggestions.filter((s) => !derived.verdicts.has(s.id) && fits(s));
}

/** What is sent to the server, in this order: decisions, then labels that decisions do not give, then settings. */
export interface Changes {
  readonly accept: string[];
  readonly reject: string[];
  readonly labels: Labels | null;
  readonly dataset: Dataset | null;
  readonly confirm: boolean;
  /** Null: as it was. */
  readonly flagged: boolean | null;
  readonly note: string | null;
}

export function changes(draft: Draft, kind: Kind): Changes {
  const { labels, verdicts, dataset, confirmed, flagged, note } = derivedOf(draft, kind);
  const ids = (verdict: Verdict): string[] =>
    [...verdicts].filter(([, v]) => v === verdict).map(([id]) => id);
  return {
    accept: ids("accepted"),
    reject: ids("rejected"),
    labels,
    dataset: dataset === draft.base.dataset ? null : dataset,
    confirm: confirmed,
    flagged: flagged === (draft.base.flagged ?? false) ? null : flagged,
    note: note === (draft.base.note ?? "") ? null : note,
  };
}

/** Steps that set what a save sets after the decisions: for a base that has these already. */
export function stepsAfterDecisions(wanted: Changes, known: Labels | null): Step[] {
  const steps: Step[] = [];
  if (!sameLabels(wanted.labels, known)) steps.push({ do: "set", labels: wanted.labels });
  if (wanted.dataset) steps.push({ do: "dataset", dataset: wanted.dataset });
  if (wanted.confirm) steps.push({ do: "confirm" });
  return [...steps, ...marksOf(wanted)];
}

/** Steps that set flag and note as they are wanted. */
export function marksOf({ flagged, note }: Pick<Changes, "flagged" | "note">): Step[] {
  return [
    ...(flagged === null ? [] : [{ do: "flag", flagged } as const]),
    ...(note === null ? [] : [{ do: "note", note } as const]),
  ];
}

const idleDrafts = new WeakMap<Draft, boolean>();

/** True if saving would change nothing, for example after a decision was undone. */
export function isIdle(draft: Draft, kind: Kind): boolean {
  const known = idleDrafts.get(draft);
  if (known !== undefined) return known;
  const idle = changesNothing(draft, kind);
  idleDrafts.set(draft, idle);
  return idle;
}

function changesNothing(draft: Draft, kind: Kind): boolean {
  const { accept: yes, reject: no, labels, dataset, confirm, flagged, note } = changes(draft, kind);
  const settings = dataset || confirm || flagged !== null || note !== null;
  return !yes.length && !no.length && !settings && sameLabels(labels, draft.base.labels);
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
  const excluded = excluder(kind);
  const taken: Suggestion[] = [];
  for (const suggestion of suggestions) {
    if (verdicts.get(suggestion.id) === "accepted" || !fits(suggestion) || excluded(suggestion)) continue;
    verdicts.set(suggestion.id, "accepted");
    taken.push(suggestion);
  }
  return taken.length ? add(labels, taken.map(placeOf), kind, length) : labels;
}

/** Whether one that was asked about before, and was not excluded itself, excludes a suggestion. */
function excluder(kind: Kind): (suggestion: Suggestion) => boolean {
  if (isEntities(kind)) return overlapper();
  const categories = new Set<string>();
  return ({ category }) => {
    if (categories.has(category) || (isSingle(kind) && categories.size)) return true;
    categories.add(category);
    return false;
  };
}

/** Removes an accepted suggestion from the labels; a document that had no labels then has none again. */
function withdraw(
  suggestion: Suggestion | undefined,
  labels: Labels | null,
  verdicts: Map<string, Verdict>,
  base: Base,
  verdict: Verdict | null,
): Labels | null {
  if (!suggestion) return labels;
  const was = verdicts.get(suggestion.id);
  verdicts.delete(suggestion.id);
  if (verdict) verdicts.set(suggestion.id, verdict);
  if (was !== "accepted") return labels;
  const rest = remove(labels, placeOf(suggestion));
  const empty = !rest || (!rest.categories.length && !rest.regions.some((r) => r.labels.length));
  return empty && !base.labels ? null : rest;
}

function emptied(labels: Labels | null, length: number, kind: Kind): Labels {
  if (!isEntities(kind)) return NOTHING;
  const regions = labels?.regions.length ? labels.regions : [{ offset: 0, length, labels: [] }];
  return { categories: [], regions: regions.map((r) => ({ ...r, labels: [] })) };
}
