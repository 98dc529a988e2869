/** Appears at selected text and at a label that was clicked, to choose its category. */

import { useLayoutEffect, useRef } from "preact/hooks";
import type { Entity } from "../api/types";
import type { Selection } from "../state/labeling";
import type { Review } from "../state/review";
import { CategoryOption, NewCategory, shortList } from "./categories";
import { labelKey } from "./document-text";

export function CategoryMenu({ review, onMore }: { review: Review; onMore: () => void }) {
  const ref = useRef<HTMLDivElement>(null);
  const selection = review.labeling.selection.value;
  useLayoutEffect(() => {
    if (selection && ref.current) place(ref.current, selection);
  }, [selection]);
  if (!selection) return null;
  const { label } = selection;
  const text = review.current.value?.text.slice(selection.offset, selection.offset + selection.length) ?? "";
  const offered = shortList(review, label ? [label.category] : []);
  return (
    <div
      ref={ref}
      class="category-menu"
      role="group"
      aria-label={label ? "Category of the label" : "Category of the selected text"}
      onMouseDown={(event) => {
        // Keep the selection, except where a name is typed.
        if (!(event.target instanceof HTMLInputElement)) event.preventDefault();
      }}
    >
      <p class="hint">
        Label <q dir="auto">{text.length > 60 ? `${text.slice(0, 57)}…` : text}</q> as
      </p>
      <div class="menu-options">
        {offered.map((category) => (
          <CategoryOption
            key={category}
            review={review}
            category={category}
            pressed={label ? label.category === category : undefined}
            onChoose={() => review.labeling.addEntity(category)}
          />
        ))}
      </div>
      {offered.length < review.open.categories.value.length && (
        <button type="button" class="small" aria-keyshortcuts="/ c" onClick={onMore}>
          All {review.open.categories.value.length} categories… <kbd aria-hidden="true">/</kbd>
        </button>
      )}
      <NewCategory review={review} onDefined={(category) => review.labeling.addEntity(category, selection)} />
      {label && (
        <div class="actions">
          <button type="button" class="quiet small" onClick={() => review.labeling.deselect()}>
            Close
          </button>
          <button type="button" class="danger small" onClick={() => review.labeling.remove(label)}>
            Remove label
          </button>
        </div>
      )}
    </div>
  );
}

/** Below the selection, inside of the pane; on a phone the style puts it at the foot of the page. */
function place(menu: HTMLElement, selection: Selection): void {
  const range = selection.label ? markOf(selection.label) : selectedRange();
  const pane = menu.parentElement?.getBoundingClientRect();
  if (!range || !pane) return;
  const at = range.getBoundingClientRect();
  const left = Math.max(8, Math.min(at.left - pane.left, pane.width - menu.offsetWidth - 8));
  const below = at.bottom - pane.top + 8;
  const fitsBelow = at.bottom + menu.offsetHeight + 16 < window.innerHeight;
  const top = fitsBelow ? below : at.top - pane.top - menu.offsetHeight - 8;
  const lowest = Math.min(pane.height, window.innerHeight - pane.top) - menu.offsetHeight - 8;
  menu.style.insetInlineStart = "auto";
  menu.style.left = `${left}px`;
  menu.style.top = `${Math.max(8, Math.min(top, lowest))}px`;
}

function selectedRange(): Range | null {
  const selection = document.getSelection();
  return selection?.rangeCount ? selection.getRangeAt(0) : null;
}

const markOf = (label: Entity): Element | null =>
  document.querySelector(`mark[data-key="${CSS.escape(labelKey(label))}"]`);
