/** The text under review: plain DOM text, cut only by marks, so that a selection's place is its offset. */

import { useSignal } from "@preact/signals";
import { Component } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import type { Entity, Suggestion } from "../api/types";
import { doubtOf } from "../domain/colors";
import type { Derived } from "../domain/draft";
import { percent } from "../domain/format";
import { entitiesOf, isEntities } from "../domain/labels";
import { blocks, cut, parts, trimSelection, type Piece, type Span } from "../domain/segments";
import type { Selection } from "../state/labeling";
import type { Review } from "../state/review";
import { onPhone } from "../ui/phone";
import { showMatches } from "./found";

export interface TextSpan extends Span {
  readonly kind: "label" | "suggestion";
  readonly category: string;
  readonly hue: number | undefined;
  /** Of a suggestion. */
  readonly confidence?: number;
}

/** From this length on, the text is laid out in blocks, of which the browser paints only those in view. */
const LONG = 4_000;
const BLOCK = 1_500;
/** What is rendered again together when a mark in it changes. */
const PART = 750;
/** So far around the place that is looked at first, a long text has its marks in the first frame. */
const NEAR = 1_500;

export const labelKey = (e: Entity): string => `label|${e.offset}|${e.length}|${e.category}`;

export function spansOf(
  derived: Pick<Derived, "labels"> | null,
  waiting: readonly Suggestion[],
  hues: ReadonlyMap<string, number>,
): TextSpan[] {
  const labels = entitiesOf(derived?.labels ?? null).map((e): TextSpan => ({
    key: labelKey(e),
    kind: "label",
    category: e.category,
    hue: hues.get(e.category),
    offset: e.offset,
    length: e.length,
  }));
  const suggestions = waiting.filter((s) => s.offset !== undefined && s.length !== undefined);
  return [
    ...labels,
    ...suggestions.map((s): TextSpan => ({
      key: s.id,
      kind: "suggestion",
      category: s.category,
      hue: hues.get(s.category),
      confidence: s.confidence,
      offset: s.offset!,
      length: s.length!,
    })),
  ];
}

interface Props {
  text: string;
  spans: readonly TextSpan[];
  /** Only the parts of the text within `reach` characters of `from` have their marks; all, if it is left out. */
  near?: { readonly from: number; readonly reach: number } | undefined;
}

/** Text with marks; `textContent` of the element is exactly the document's text. */
export function MarkedText({ text, spans, near }: Props) {
  const groups = useMemo(() => {
    const pieces = cut(text.length, spans);
    return (text.length > LONG ? blocks(text, pieces, BLOCK) : [pieces]).map((block) => parts(block, PART));
  }, [text, spans]);
  const inside = (pieces: readonly TextPiece[]): boolean =>
    !near || (pieces.at(-1)!.end > near.from - near.reach && pieces[0]!.start < near.from + near.reach);
  const render = (block: readonly TextPiece[][]) =>
    block.map((pieces, i) => {
      const marked = inside(pieces);
      return (
        <Part key={i} text={text} pieces={pieces} marked={marked} look={marked ? looksOf(pieces) : ""} />
      );
    });
  if (groups.length === 1) return <>{render(groups[0]!)}</>;
  return (
    <>
      {groups.map((block, i) => (
        <div key={i} class="text-block">
          {render(block)}
        </div>
      ))}
    </>
  );
}

type TextPiece = Piece<TextSpan>;

interface PartProps {
  text: string;
  pieces: readonly TextPiece[];
  marked: boolean;
  /** All that its marks show. */
  look: string;
}

/** Compared by what it shows: a decision on one of 500 suggestions changes one part of the text. */
class Part extends Component<PartProps> {
  override shouldComponentUpdate({ text, pieces, marked, look }: PartProps): boolean {
    const { props } = this;
    return (
      marked !== props.marked ||
      look !== props.look ||
      text !== props.text ||
      pieces[0]!.start !== props.pieces[0]!.start ||
      pieces.at(-1)!.end !== props.pieces.at(-1)!.end
    );
  }

  override render({ text, pieces, marked }: PartProps) {
    if (!marked) return text.slice(pieces[0]!.start, pieces.at(-1)!.end);
    return <>{pieces.map((piece) => renderPiece(text, piece))}</>;
  }
}

const looksOf = (pieces: readonly TextPiece[]): string =>
  pieces
    .map(({ start, spans }) => `${start}:${spans.map((s) => `${s.key} ${s.hue} ${s.confidence}`).join("+")}`)
    .join();

function renderPiece(text: string, piece: TextPiece) {
  const part = text.slice(piece.start, piece.end);
  const [top, ...below] = piece.spans;
  if (!top) return part;
  const ends = (span: TextSpan): boolean => span.offset + span.length === piece.end;
  return (
    <mark
      key={piece.start}
      class={`span ${top.kind} ${lookOf(top)}${below.length ? " nested" : ""}`}
      data-key={top.key}
      data-category={top.category}
      data-tag={ends(top) ? tagOf(top) : undefined}
      data-share={ends(top) && top.confidence !== undefined ? percent(top.confidence) : undefined}
      title={piece.spans.map((span) => span.category).join(", ")}
    >
      {part}
      {below.filter(ends).map((span) => (
        <span
          key={span.key}
          class={`tag ${lookOf(span)}`}
          data-tag={tagOf(span)}
          data-share={span.confidence === undefined ? undefined : percent(span.confidence)}
        />
      ))}
    </mark>
  );
}

/** So short that the percentage beside it is never cut off. */
const TAG_LENGTH = 24;

/** The category, cut between characters: not between the two code units of one. */
export function tagOf({ category }: Pick<TextSpan, "category">): string {
  const characters = [...category];
  return characters.length > TAG_LENGTH ? `${characters.slice(0, TAG_LENGTH - 1).join("")}…` : category;
}

const lookOf = ({ hue, confidence }: TextSpan): string =>
  `hue-${hue ?? "none"}${confidence === undefined ? "" : ` doubt-${doubtOf(confidence)}`}`;

export function DocumentText({ review }: { review: Review }) {
  const ref = useRef<HTMLDivElement>(null);
  const loaded = review.current.value!;
  const derived = review.derived.value;
  const waiting = review.waiting.value;
  const latest = review.labeling.latest.value;
  const cursor = latest ? labelKey(latest) : review.cursor.value;
  const hues = review.open.hues.value;
  const spans = useMemo(() => spansOf(derived, waiting, hues), [derived, waiting, hues]);
  const found = review.found.value;
  const foundAt = review.foundAt.value;

  // The marks in view are there in the first frame; those farther away follow, in a few steps, behind it.
  const from = useMemo(
    () => found[foundAt]?.offset ?? spans.find((span) => span.key === cursor)?.offset ?? 0,
    [loaded.document.id],
  );
  const reach = useSignal(NEAR);
  const partly = loaded.text.length > LONG && reach.value < loaded.text.length;
  useEffect(() => {
    if (partly) reach.value *= 4;
  }, [partly, reach.value]);

  // A text of thousands of marks is not rendered again only because another one is pointed at.
  const marked = useMemo(() => {
    const near = partly ? { from, reach: reach.value } : undefined;
    return <MarkedText key={loaded.document.id} text={loaded.text} spans={spans} near={near} />;
  }, [loaded.document.id, loaded.text, spans, partly, reach.value]);

  // On a phone the list lies above the text while it is open: who reads it is not taken away from it.
  const covered = review.listOpen.value && onPhone();
  useLayoutEffect(() => {
    if (!covered) showBeginning(ref.current!);
  }, [loaded.document.id, covered]);
  useLayoutEffect(() => {
    if (!cursor) return;
    const marks = ref.current?.querySelectorAll(`mark[data-key="${CSS.escape(cursor)}"]`) ?? [];
    for (const mark of marks) mark.classList.add("pointed-at");
    if (!covered) marks[0]?.scrollIntoView({ block: "nearest" });
    return () => {
      for (const mark of marks) mark.classList.remove("pointed-at");
    };
  }, [cursor, marked, covered]);

  // After the effect above: what was searched for is in view, not the suggestion that is pointed at.
  useLayoutEffect(() => {
    if (!ref.current || !found.length) return undefined;
    return showMatches(ref.current, found, foundAt, !covered);
  }, [found, foundAt, marked, covered]);

  useEffect(() => watchSelection(() => ref.current, review), [review]);

  return (
    <div
      ref={ref}
      class="document-text"
      data-testid="document-text"
      dir="auto"
      lang={loaded.document.language || undefined}
      onClick={(event) => {
        const mark = (event.target as HTMLElement).closest<HTMLElement>("mark");
        const span = spans.find((s) => s.key === mark?.dataset["key"]);
        if (span?.kind === "suggestion") review.cursor.value = span.key;
        if (span?.kind === "label" && document.getSelection()?.isCollapsed) editLabel(review, span);
      }}
    >
      {marked}
    </div>
  );
}

/** Of a text that was just opened: who read the one before to its end would otherwise begin in the middle. */
function showBeginning(root: HTMLElement): void {
  const pane = root.closest(".text-pane");
  const sheet = root.closest(".sheet"); // on a phone, the page scrolls instead
  if (pane) pane.scrollTop = 0;
  if (sheet && sheet.getBoundingClientRect().top < 0) sheet.scrollIntoView();
}

function editLabel(review: Review, { category, offset, length }: TextSpan): void {
  if (!review.readOnly.value)
    review.labeling.selection.value = { offset, length, label: { category, offset, length } };
}

/** Keeps the part of the text that is selected, once the selection rests. */
function watchSelection(element: () => HTMLElement | null, review: Review): () => void {
  let timer = 0;
  const read = (range: Range | null): Selection | null => {
    const text = review.current.value?.text ?? "";
    return range && !range.collapsed && isEntities(review.kind) ? spanOf(element()!, range, text) : null;
  };
  const changed = (): void => {
    clearTimeout(timer);
    timer = window.setTimeout(() => {
      const selection = document.getSelection();
      if (!selection?.rangeCount) {
        if (!review.labeling.selection.value?.label) clear(review);
        return;
      }
      const range = rangeIn(element());
      if (!range || review.readOnly.value) return;
      // A click into the text ends a selection; a click on a label began one of its own.
      if (range.collapsed && review.labeling.selection.value?.label) return;
      review.labeling.selection.value = read(range);
      showPending(review.labeling.selection.value ? range : null);
    }, 80);
  };
  review.labeling.readSelection = () => read(rangeIn(element()));
  document.addEventListener("selectionchange", changed);
  return () => {
    clearTimeout(timer);
    review.labeling.readSelection = () => null;
    document.removeEventListener("selectionchange", changed);
    showPending(null);
  };
}

function clear(review: Review): void {
  review.labeling.selection.value = null;
  showPending(null);
}

/** The browser's selection where it lies in the element. */
function rangeIn(root: HTMLElement | null): Range | null {
  const selection = document.getSelection();
  const range = selection?.rangeCount ? selection.getRangeAt(0) : null;
  return range && root?.contains(range.startContainer) && root.contains(range.endContainer) ? range : null;
}

function spanOf(root: HTMLElement, range: Range, text: string): { offset: number; length: number } | null {
  const before = document.createRange();
  before.selectNodeContents(root);
  before.setEnd(range.startContainer, range.startOffset);
  const start = before.toString().length;
  return trimSelection(text, start, start + range.toString().length);
}

/** Keeps the selection visible while a name is typed for it. */
function showPending(range: Range | null): void {
  if (!("highlights" in CSS)) return;
  if (range) CSS.highlights.set("pending", new Highlight(range.cloneRange()));
  else CSS.highlights.delete("pending");
}
