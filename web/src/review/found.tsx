/** The matches of a search in the text under review: highlighted, one after the other brought into view. */

import type { Review } from "../state/review";
import { count } from "../domain/format";
import { Icon } from "../ui/icon";

/** How often the text has what was searched for, and the way from one match to the next. */
export function FoundNotice({ review }: { review: Review }) {
  const matches = review.found.value;
  const at = review.foundAt.value;
  if (!matches.length) return null;
  const move = (by: number) => (): void =>
    void (review.foundAt.value = (at + by + matches.length) % matches.length);
  return (
    <div class="found-notice">
      <p class="hint" role="status">
        Match {count(at + 1)} of {count(matches.length)}
      </p>
      {matches.length > 1 && (
        <>
          <button type="button" class="quiet small" aria-label="Go to the previous match" onClick={move(-1)}>
            <Icon name="previous" size={15} />
          </button>
          <button type="button" class="quiet small" aria-label="Go to the next match" onClick={move(1)}>
            <Icon name="next" size={15} />
          </button>
        </>
      )}
    </div>
  );
}

interface Place {
  readonly offset: number;
  readonly length: number;
}

/** Highlights the places in the text of an element and, with `scrolls`, scrolls to one; returns how to undo it. */
export function showMatches(
  root: HTMLElement,
  places: readonly Place[],
  at: number,
  scrolls: boolean,
): () => void {
  const ranges = rangesOf(root, places);
  const current = ranges[at];
  const stop = current && scrolls ? keepInView(root, current) : () => undefined;
  if (!("highlights" in CSS) || !ranges.length) return stop;
  CSS.highlights.set("found", new Highlight(...ranges));
  if (current) CSS.highlights.set("found-now", new Highlight(current));
  return () => {
    stop();
    CSS.highlights.delete("found");
    CSS.highlights.delete("found-now");
  };
}

/** Places in order as ranges of the element's text nodes. */
function rangesOf(root: HTMLElement, places: readonly Place[]): Range[] {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  const ranges: Range[] = [];
  let node = walker.nextNode() as Text | null;
  let begin = 0;
  const nodeAt = (offset: number): number => {
    while (node && begin + node.data.length < offset) {
      begin += node.data.length;
      node = walker.nextNode() as Text | null;
    }
    return offset - begin;
  };
  for (const { offset, length } of places) {
    const range = document.createRange();
    const start = nodeAt(offset);
    if (!node) break;
    range.setStart(node, start);
    const end = nodeAt(offset + length);
    if (!node) break;
    range.setEnd(node, end);
    ranges.push(range);
  }
  return ranges;
}

/** A long text is laid out block by block as it comes into view, which moves what is below: look again after it. */
const FRAMES = 4;

function keepInView(root: HTMLElement, range: Range): () => void {
  let left = FRAMES;
  let frame = 0;
  const look = (): void => {
    scrollTo(root, range);
    if (left-- > 0) frame = requestAnimationFrame(look);
  };
  look();
  return () => cancelAnimationFrame(frame);
}

/** Into the middle of the pane, or of the page on a phone, where the pane does not scroll by itself. */
function scrollTo(root: HTMLElement, range: Range): void {
  const pane = root.closest<HTMLElement>(".text-pane");
  const box = range.getBoundingClientRect();
  if (pane && pane.scrollHeight > pane.clientHeight) {
    const seen = pane.getBoundingClientRect();
    if (box.top < seen.top || box.bottom > seen.bottom)
      pane.scrollTop += box.top - seen.top - seen.height / 3;
  } else if (box.top < 0 || box.bottom > window.innerHeight) {
    window.scrollBy({ top: box.top - window.innerHeight / 3 });
  }
}
