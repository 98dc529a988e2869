/** The text under review: plain DOM text, cut only by marks, so that a selection's place is its offset. */

import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import type { Entity, Suggestion } from "../api/types";
import type { Derived } from "../domain/draft";
import { percent } from "../domain/format";
import { entitiesOf } from "../domain/labels";
import { blocks, cut, trimSelection, type Piece, type Span } from "../domain/segments";
import type { Review } from "../state/review";

export interface TextSpan extends Span {
  readonly kind: "label" | "suggestion";
  readonly category: string;
  readonly tag: string;
}

/** From this length on, the text is laid out in blocks, of which the browser paints only those in view. */
const LONG = 12_000;

export const labelKey = (e: Entity): string => `label|${e.offset}|${e.length}|${e.category}`;

export function spansOf(derived: Derived | null, waiting: readonly Suggestion[]): TextSpan[] {
  const labels = entitiesOf(derived?.labels ?? null).map((e): TextSpan => ({
    key: labelKey(e),
    kind: "label",
    category: e.category,
    tag: e.category,
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
      tag: `${s.category} ${percent(s.confidence)}`,
      offset: s.offset!,
      length: s.length!,
    })),
  ];
}

interface Props {
  text: string;
  spans: readonly TextSpan[];
}

/** Text with marks; `textContent` of the element is exactly the document's text. */
export function MarkedText({ text, spans }: Props) {
  const groups = useMemo(() => {
    const pieces = cut(text.length, spans);
    return text.length > LONG ? blocks(text, pieces) : [pieces];
  }, [text, spans]);
  if (groups.length === 1) return <>{groups[0]!.map((piece) => renderPiece(text, piece))}</>;
  return (
    <>
      {groups.map((pieces, i) => (
        <div key={i} class="text-block">
          {pieces.map((piece) => renderPiece(text, piece))}
        </div>
      ))}
    </>
  );
}

function renderPiece(text: string, piece: Piece<TextSpan>) {
  const part = text.slice(piece.start, piece.end);
  const top = piece.spans[0];
  if (!top) return part;
  const ends = top.offset + top.length === piece.end;
  return (
    <mark
      class={`span ${top.kind}`}
      data-key={top.key}
      data-category={top.category}
      data-tag={ends ? top.tag : undefined}
    >
      {part}
    </mark>
  );
}

export function DocumentText({ review }: { review: Review }) {
  const ref = useRef<HTMLDivElement>(null);
  const loaded = review.current.value!;
  const derived = review.derived.value;
  const waiting = review.waiting.value;
  const cursor = review.cursor.value;
  const spans = useMemo(() => spansOf(derived, waiting), [derived, waiting]);

  // A text of thousands of marks is not rendered again only because another one is pointed at.
  const marked = useMemo(
    () => <MarkedText key={loaded.document.id} text={loaded.text} spans={spans} />,
    [loaded.document.id, loaded.text, spans],
  );

  useLayoutEffect(() => {
    if (!cursor) return;
    const marks = ref.current?.querySelectorAll(`mark[data-key="${CSS.escape(cursor)}"]`) ?? [];
    for (const mark of marks) mark.classList.add("pointed-at");
    marks[0]?.scrollIntoView({ block: "nearest" });
    return () => {
      for (const mark of marks) mark.classList.remove("pointed-at");
    };
  }, [cursor, marked]);

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

function editLabel(review: Review, { category, offset, length }: TextSpan): void {
  if (!review.locked.value)
    review.labeling.selection.value = { offset, length, label: { category, offset, length } };
}

/** Tells the review which stretch of the text is selected, once the selection rests. */
function watchSelection(element: () => HTMLElement | null, review: Review): () => void {
  let timer = 0;
  const changed = (): void => {
    clearTimeout(timer);
    timer = window.setTimeout(() => {
      const root = element();
      const selection = document.getSelection();
      if (!root || !selection?.rangeCount || review.locked.value) return;
      const range = selection.getRangeAt(0);
      if (!root.contains(range.startContainer) || !root.contains(range.endContainer)) return;
      const text = review.current.value?.text ?? "";
      // A click into the text ends a selection; a click on a label began one of its own.
      if (range.collapsed && review.labeling.selection.value?.label) return;
      review.labeling.selection.value = range.collapsed ? null : spanOf(root, range, text);
      showPending(review.labeling.selection.value ? range : null);
    }, 80);
  };
  document.addEventListener("selectionchange", changed);
  return () => {
    clearTimeout(timer);
    document.removeEventListener("selectionchange", changed);
    showPending(null);
  };
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
