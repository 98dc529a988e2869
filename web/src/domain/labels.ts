/** Labels of a document in one form for the three kinds of project, and the rules that the server keeps as well. */

import type { Entity, Kind, LabelFields, Suggestion } from "../api/types";

export interface Region {
  readonly offset: number;
  readonly length: number;
  readonly labels: readonly Entity[];
}

/** "Labeled with nothing" has no categories and no entities; a document that is not labeled has null instead. */
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

/** Kinds come in two cases from Azure's own tools. */
export function parseKind(text: string): Kind {
  const kinds: Kind[] = [
    "CustomSingleLabelClassification",
    "CustomMultiLabelClassification",
    "CustomEntityRecognition",
  ];
  return kinds.find((kind) => kind.toLowerCase() === text.toLowerCase()) ?? "CustomMultiLabelClassification";
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

/** A suggestion never repeats, contradicts or overlaps what a person said: tells whether one still fits. */
export function fitter(labels: Labels | null, kind: Kind): (suggestion: Suggestion) => boolean {
  if (!labels) return () => true;
  if (isSingle(kind)) return () => false; // also "labeled with nothing" is what a person said
  if (!isEntities(kind)) return (one) => !labels.categories.includes(one.category);
  const entities = entitiesOf(labels);
  return (one) => !entities.some((entity) => overlaps(entity, spanOf(one)));
}

export const spanOf = (place: { offset?: number; length?: number }): { offset: number; length: number } => ({
  offset: place.offset ?? 0,
  length: place.length ?? 0,
});

/** The labels with more; an entity goes to the region that holds it, or else all go to one for the whole document. */
export function add(
  labels: Labels | null,
  places: readonly Place[],
  kind: Kind,
  documentLength: number,
): Labels {
  if (isEntities(kind)) {
    const entities = places.map((place) => ({ category: place.category, ...spanOf(place) }));
    return addEntities(labels, entities, documentLength);
  }
  const names = places.map((place) => place.category);
  const categories = isSingle(kind)
    ? names.slice(-1)
    : [...new Set([...(labels?.categories ?? []), ...names])];
  return { categories, regions: [] };
}

function addEntities(labels: Labels | null, entities: readonly Entity[], documentLength: number): Labels {
  const regions = labels?.regions ?? [];
  const homes = entities.map((entity) =>
    regions.findIndex((r) => r.offset <= entity.offset && end(entity) <= end(r)),
  );
  if (homes.includes(-1)) {
    const every = ordered([...entitiesOf(labels), ...entities]);
    return { categories: [], regions: [{ offset: 0, length: documentLength, labels: every }] };
  }
  const grown = regions.map((region, index) => {
    const added = entities.filter((_, i) => homes[i] === index);
    return added.length ? { ...region, labels: ordered([...region.labels, ...added]) } : region;
  });
  return { categories: [], regions: grown };
}

/** The labels without one; what is left may be "labeled with nothing", never "not labeled" (rule D6). */
export function remove(labels: Labels | null, place: Place): Labels | null {
  if (!labels) return null;
  const categories = labels.categories.filter((c) => c !== place.category || place.offset !== undefined);
  const regions = labels.regions.map((r) => ({ ...r, labels: r.labels.filter((e) => !samePlace(e, place)) }));
  return { categories, regions };
}

export function change(labels: Labels | null, from: Place, category: string): Labels | null {
  if (!labels) return null;
  const swap = (e: Entity): Entity => (samePlace(e, from) ? { ...e, category } : e);
  return {
    categories: labels.categories.map((c) =>
      c === from.category && from.offset === undefined ? category : c,
    ),
    regions: labels.regions.map((r) => ({ ...r, labels: r.labels.map(swap) })),
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

const entityKey = (e: Entity): string => `${e.offset}|${e.length}|${e.category}`;

const ordered = (entities: readonly Entity[]): Entity[] =>
  [...entities].sort(
    (a, b) => a.offset - b.offset || a.length - b.length || (a.category < b.category ? -1 : 1),
  );
