/** Labels of a document in one form for the three kinds of project, and the rules that the server keeps as well. */

import type { Entity, Kind, LabelFields, Suggestion } from "../api/types";

export interface Region {
  readonly offset: number;
  readonly length: number;
  readonly labels: readonly Entity[];
}

/** "No label applies" is an empty object; a document that is not labeled has null instead. */
export interface Labels {
  readonly categories: readonly string[];
  readonly regions: readonly Region[];
}

/** A label named for adding or removing: a class, or a span with a category. */
export interface Place {
  readonly category: string;
  readonly offset?: number;
  readonly length?: number;
}

export const MAX_ENTITY_LENGTH = 500;
export const NOTHING: Labels = { categories: [], regions: [] };

export const isEntities = (kind: Kind): boolean => kind === "CustomEntityRecognition";
export const isSingle = (kind: Kind): boolean => kind === "CustomSingleLabelClassification";

export const KINDS: readonly Kind[] = [
  "CustomSingleLabelClassification",
  "CustomMultiLabelClassification",
  "CustomEntityRecognition",
];

/** Azure's own tools write the kinds in either case. */
export function parseKind(text: string): Kind {
  return KINDS.find((kind) => kind.toLowerCase() === text.toLowerCase()) ?? "CustomMultiLabelClassification";
}

export function readLabels(fields: LabelFields, kind: Kind): Labels | null {
  if (isEntities(kind)) {
    if (!fields.entities) return null;
    const regions = fields.entities.map((r) => ({
      offset: r.regionOffset,
      length: r.regionLength,
      labels: r.labels,
    }));
    return { categories: [], regions };
  }
  if (isSingle(kind)) {
    if (!fields.class) return null;
    return fields.class.category === null ? NOTHING : { categories: [fields.class.category], regions: [] };
  }
  return fields.classes ? { categories: fields.classes.map((c) => c.category), regions: [] } : null;
}

/** The label field of the kind, as the server takes it. */
export function writeLabels(labels: Labels | null, kind: Kind): LabelFields {
  if (isEntities(kind)) {
    const regions = labels?.regions.map((r) => ({
      regionOffset: r.offset,
      regionLength: r.length,
      labels: r.labels.map(({ category, offset, length }) => ({ category, offset, length })),
    }));
    return { entities: regions ?? null };
  }
  if (isSingle(kind)) {
    return { class: labels && { category: labels.categories[0] ?? null } };
  }
  return { classes: labels?.categories.map((category) => ({ category })) ?? null };
}

export const entitiesOf = (labels: Labels | null): Entity[] =>
  labels?.regions.flatMap((r) => [...r.labels]) ?? [];

export const end = (span: { offset: number; length: number }): number => span.offset + span.length;

export function overlaps(
  a: { offset: number; length: number },
  b: { offset: number; length: number },
): boolean {
  return a.offset < end(b) && b.offset < end(a);
}

/** A suggestion never repeats, contradicts or overlaps what a person set: returns whether one still fits. */
export function fitter(labels: Labels | null, kind: Kind): (suggestion: Suggestion) => boolean {
  if (!labels) return () => true;
  if (isSingle(kind)) return () => false; // "no label applies" is a label too
  if (!isEntities(kind)) return (suggestion) => !labels.categories.includes(suggestion.category);
  return spanFitter(entitiesOf(labels));
}

/** Whether a span overlaps one that was asked about before and overlapped none itself; in the order of the text O(1). */
export function overlapper(): (place: Place) => boolean {
  const taken: { offset: number; length: number }[] = []; // in the order of the text
  return (place) => {
    const span = spanOf(place);
    let at = taken.length; // where it belongs: most come in the order of the text
    while (at > 0 && taken[at - 1]!.offset > span.offset) at--;
    const [before, after] = [taken[at - 1], taken[at]];
    if ((before && overlaps(before, span)) || (after && overlaps(after, span))) return true;
    taken.splice(at, 0, span);
    return false;
  };
}

/** Like `fitter` for entities, in O(log n) each: a text of 500 entities has as many suggestions. */
function spanFitter(entities: readonly Entity[]): (suggestion: Suggestion) => boolean {
  const sorted = [...entities].sort((a, b) => a.offset - b.offset);
  const reach: number[] = []; // the farthest end of all entities up to each
  for (const entity of sorted) reach.push(Math.max(end(entity), reach.at(-1) ?? 0));
  return (suggestion) => {
    const span = spanOf(suggestion);
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle]!.offset < end(span)) low = middle + 1;
      else high = middle;
    }
    return low === 0 || reach[low - 1]! <= span.offset;
  };
}

export const spanOf = (place: { offset?: number; length?: number }): { offset: number; length: number } => ({
  offset: place.offset ?? 0,
  length: place.length ?? 0,
});

/**
 * The labels with more; what is there already is ignored. An entity goes to the region that holds it, or else all
 * entities go to one region for the whole document.
 */
export function add(
  labels: Labels | null,
  places: readonly Place[],
  kind: Kind,
  documentLength: number,
): Labels {
  if (isEntities(kind)) {
    const known = new Set(entitiesOf(labels).map(entityKey));
    const entities = places
      .map((place) => ({ category: place.category, ...spanOf(place) }))
      .filter((entity) => !known.has(entityKey(entity)) && known.add(entityKey(entity)));
    return labels && !entities.length ? labels : addEntities(labels, entities, documentLength);
  }
  const names = places.map((place) => place.category);
  const categories = isSingle(kind)
    ? names.slice(-1)
    : [...new Set([...(labels?.categories ?? []), ...names])];
  return { categories, regions: [] };
}

function addEntities(labels: Labels | null, entities: readonly Entity[], documentLength: number): Labels {
  const regions = labels?.regions ?? [];
  const regionOf = entities.map((entity) =>
    regions.findIndex((r) => r.offset <= entity.offset && end(entity) <= end(r)),
  );
  if (regionOf.includes(-1)) {
    const every = ordered([...entitiesOf(labels), ...entities]);
    return { categories: [], regions: [{ offset: 0, length: documentLength, labels: every }] };
  }
  const grown = regions.map((region, index) => {
    const added = entities.filter((_, i) => regionOf[i] === index);
    return added.length ? { ...region, labels: ordered([...region.labels, ...added]) } : region;
  });
  return { categories: [], regions: grown };
}

/** The labels without one; what is left may be empty ("no label applies"), never null (rule D6). */
export function remove(labels: Labels | null, place: Place): Labels | null {
  if (!labels) return null;
  const categories = labels.categories.filter((c) => c !== place.category || place.offset !== undefined);
  const regions = labels.regions.map((r) => ({ ...r, labels: r.labels.filter((e) => !samePlace(e, place)) }));
  return { categories, regions };
}

/** The labels with another category for one; a label that is then there twice is kept once. */
export function change(labels: Labels | null, from: Place, category: string): Labels | null {
  if (!labels) return null;
  const swap = (e: Entity): Entity => (samePlace(e, from) ? { ...e, category } : e);
  return {
    categories: [
      ...new Set(
        labels.categories.map((c) => (c === from.category && from.offset === undefined ? category : c)),
      ),
    ],
    regions: labels.regions.map((r) => ({ ...r, labels: distinct(r.labels.map(swap)) })),
  };
}

export const samePlace = (a: Place, b: Place): boolean =>
  a.category === b.category && a.offset === b.offset && a.length === b.length;

export function sameLabels(a: Labels | null, b: Labels | null): boolean {
  if (!a || !b) return a === b;
  const key = (l: Labels): string =>
    JSON.stringify([
      [...l.categories].sort(),
      l.regions.map((r) => [r.offset, r.length, ...ordered(r.labels).map(entityKey)]),
    ]);
  return key(a) === key(b);
}

/** What two versions of the labels of a document do not share, in the order of the text. */
export interface Differences {
  readonly mine: readonly Place[];
  readonly theirs: readonly Place[];
  readonly shared: number;
}

export function differences(mine: Labels | null, theirs: Labels | null): Differences {
  const [a, b] = [placesOf(mine), placesOf(theirs)];
  const without = (places: readonly Place[], others: readonly Place[]): Place[] => {
    const keys = new Set(others.map((place) => JSON.stringify(place)));
    return places.filter((place) => !keys.has(JSON.stringify(place)));
  };
  const onlyMine = without(a, b);
  return { mine: onlyMine, theirs: without(b, a), shared: a.length - onlyMine.length };
}

const placesOf = (labels: Labels | null): Place[] => [
  ...(labels?.categories.map((category) => ({ category })) ?? []),
  ...ordered(entitiesOf(labels)).map(({ category, offset, length }) => ({ category, offset, length })),
];

const entityKey = (e: Entity): string => `${e.offset}|${e.length}|${e.category}`;

const distinct = (entities: readonly Entity[]): Entity[] => [
  ...new Map(entities.map((e) => [entityKey(e), e])).values(),
];

const ordered = (entities: readonly Entity[]): Entity[] =>
  [...entities].sort(
    (a, b) => a.offset - b.offset || a.length - b.length || (a.category < b.category ? -1 : 1),
  );
