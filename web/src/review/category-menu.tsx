/** Appears at selected text and at a label that was clicked: which category is it? */

import { useSignal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import type { Entity } from "../api/types";
import type { Selection } from "../state/labeling";
import type { Review } from "../state/review";
import { labelKey } from "./document-text";
import { may } from "../auth/session";
import { numberKey } from "./commands";

export function CategoryMenu({ review }: { review: Review }) {
  const ref = useRef<HTMLDivElement>(null);
  const selection = review.labeling.selection.value;
  useLayoutEffect(() => {
    if (selection && ref.current) place(ref.current, selection);
  }, [selection]);
  if (!selection) return null;
  const { label } = selection;
  const text = review.current.value?.text.slice(selection.offset, selection.offset + selection.length) ?? "";
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
        {review.open.categories.value.map(({ category }, index) => (
          <button
            key={category}
            type="button"
            class="chip option"
            aria-pressed={label ? label.category === category : undefined}
            onClick={() => review.labeling.addEntity(category)}
          >
            {numberKey(index) && <kbd aria-hidden="true">{numberKey(index)}</kbd>}
            <bdi>{category}</bdi>
          </button>
        ))}
      </div>
      <NewCategory review={review} onDefined={(category) => review.labeling.addEntity(category, selection)} />
      {label && (
        <div class="actions">
          <button type="button" class="quiet small" onClick={() => (review.labeling.selection.value = null)}>
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

/** Defines a category that is missing, and uses it at once. */
export function NewCategory({
  review,
  onDefined,
}: {
  review: Review;
  onDefined: (category: string) => void;
}) {
  const name = useSignal("");
  if (!may("Labels.Review")) return null;
  const submit = (event: Event): void => {
    event.preventDefault();
    const category = name.value.trim();
    if (!category) return;
    review.labeling.define(category);
    name.value = "";
    onDefined(category);
  };
  return (
    <form class="inline-form" onSubmit={submit}>
      <input
        aria-label="New category"
        placeholder="New category"
        maxLength={50}
        value={name.value}
        onInput={(event) => (name.value = event.currentTarget.value)}
      />
      <button type="submit" disabled={!name.value.trim()}>
        Add
      </button>
    </form>
  );
}

/** Below the selection, inside of the pane; a phone shows it at the foot of the page by style. */
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
