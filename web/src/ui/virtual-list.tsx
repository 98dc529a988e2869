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
  const first = useSignal(0);
  const shown = useSignal(20);

  const measure = (): void => {
    const box = ref.current;
    if (!box) return;
    first.value = Math.max(0, Math.floor(box.scrollTop / rowHeight) - EXTRA);
    shown.value = Math.ceil(box.clientHeight / rowHeight) + 2 * EXTRA;
  };

  useLayoutEffect(() => {
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(ref.current!);
    return () => observer.disconnect();
  }, []);

  useEffect(() => {
    const box = ref.current;
    if (!box || index < 0) return;
    const top = index * rowHeight;
    if (top < box.scrollTop) box.scrollTop = Math.max(0, top - rowHeight);
    else if (top + 2 * rowHeight > box.scrollTop + box.clientHeight)
      box.scrollTop = top + 2 * rowHeight - box.clientHeight;
  }, [index]);

  const last = Math.min(count, first.value + shown.value);
  useEffect(() => onReach?.(last), [last]);

  const rows = [];
  for (let i = first.value; i < last; i++) {
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
