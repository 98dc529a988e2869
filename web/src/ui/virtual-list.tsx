import type { ComponentChildren } from "preact";
import { useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

interface Props {
  /** How many rows there are, with those that are not read yet. */
  count: number;
  rowHeight: number;
  /** The row to keep in view. */
  index: number;
  label: string;
  renderRow: (index: number) => ComponentChildren;
  /** Called with the last row that is in view or nearly so. */
  onReach?: (last: number) => void;
  /** Whether `count` is a guess. */
  open?: boolean;
}

const EXTRA = 8;

/** Rows of one height, of which only those in view exist: 100,000 scroll like 20. */
export function VirtualList({ count, rowHeight, index, label, renderRow, onReach, open }: Props) {
  const ref = useRef<HTMLDivElement>(null);
  const top = useSignal(0);
  const height = useSignal(0);
  const reached = useRef(-1);

  const measure = (): void => {
    const box = ref.current;
    if (!box) return;
    // A list that was hidden could not be scrolled when its row became another.
    if (!height.value && box.clientHeight)
      box.scrollTop = scrollFor(reached.current, rowHeight, box.scrollTop, box.clientHeight);
    height.value = box.clientHeight;
    top.value = box.scrollTop;
  };

  useLayoutEffect(() => {
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(ref.current!);
    return () => observer.disconnect();
  }, []);

  // Before the paint, so that the row is there in the same frame as what made it the one to show.
  useLayoutEffect(() => {
    const box = ref.current!;
    reached.current = index;
    const wanted = scrollFor(index, rowHeight, box.scrollTop, box.clientHeight);
    if (wanted === box.scrollTop) return;
    box.scrollTop = wanted;
    measure();
  }, [index]);

  // The rows around a new index are rendered at once, not those of the former place before them.
  const moved = index !== reached.current && height.value > 0;
  const scroll = moved ? scrollFor(index, rowHeight, top.value, height.value) : top.value;
  const first = Math.max(0, Math.floor(scroll / rowHeight) - EXTRA);
  const shown = height.value ? Math.ceil(height.value / rowHeight) + 2 * EXTRA : 20;

  const last = Math.min(count, first + shown);
  useEffect(() => onReach?.(last), [last]);

  const rows = [];
  for (let i = first; i < last; i++) {
    rows.push(
      <li
        key={i}
        aria-setsize={open ? -1 : count}
        aria-posinset={i + 1}
        style={{ transform: `translateY(${i * rowHeight}px)`, blockSize: `${rowHeight}px` }}
      >
        {renderRow(i)}
      </li>,
    );
  }
  return (
    <div class="virtual" ref={ref} onScroll={measure}>
      <ul role="list" aria-label={label} style={{ blockSize: `${count * rowHeight}px` }}>
        {rows}
      </ul>
    </div>
  );
}

/** Where a list of this height is scrolled to, so that the row at `index` and the one beside it are in view. */
function scrollFor(index: number, rowHeight: number, scroll: number, height: number): number {
  if (index < 0) return scroll;
  const top = index * rowHeight;
  if (top < scroll) return Math.max(0, top - rowHeight);
  return top + 2 * rowHeight > scroll + height ? top + 2 * rowHeight - height : scroll;
}
