/** Finds a category by typing: recent ones first, Enter chooses. */

import { visible } from "../domain/format";
import { useSignal } from "@preact/signals";
import { useEffect, useId, useRef } from "preact/hooks";
import { may } from "../auth/session";
import type { Review } from "../state/review";
import { CategoryName } from "../ui/category";
import { Dialog } from "../ui/dialog";

export function CategoryPicker({ review, onClose }: { review: Review; onClose: () => void }) {
  const typed = useSignal("");
  const active = useSignal(0);
  const id = useId();
  const list = useRef<HTMLUListElement>(null);
  const all = review.open.categories.value.map((c) => c.category);
  const found = matches(all, review.choices.recent.value, typed.value);
  const name = typed.value.trim();
  const offersNew = name !== "" && !all.includes(name) && may("Labels.Review") && !review.source.blind;
  const last = found.length + (offersNew ? 1 : 0) - 1;
  const at = Math.min(active.value, last);

  useEffect(() => {
    list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
  }, [at]);

  const choose = (index: number): void => {
    const category = found[index] ?? (offersNew ? name : undefined);
    if (category === undefined) return;
    onClose();
    review.labeling.define(category);
    review.labeling.choose(category);
  };
  const move = (event: KeyboardEvent): void => {
    if (event.key === "ArrowDown") active.value = Math.min(last, at + 1);
    else if (event.key === "ArrowUp") active.value = Math.max(0, at - 1);
    else if (event.key === "Enter") choose(at);
    else return;
    event.preventDefault();
  };
  return (
    <Dialog title="Choose a category" onClose={onClose}>
      <input
        role="combobox"
        aria-label="Find a category"
        aria-expanded="true"
        aria-controls={id}
        aria-autocomplete="list"
        aria-activedescendant={last < 0 ? undefined : `${id}-${at}`}
        autocomplete="off"
        dir="auto"
        spellcheck={false}
        autofocus
        value={typed.value}
        onInput={(event) => {
          typed.value = event.currentTarget.value;
          active.value = 0;
        }}
        onKeyDown={move}
      />
      <ul ref={list} id={id} class="picker" role="listbox" aria-label="Categories">
        {found.map((category, index) => (
          <li
            key={category}
            id={`${id}-${index}`}
            role="option"
            aria-selected={index === at}
            title={category}
            onClick={() => choose(index)}
          >
            <CategoryName name={category} hue={review.open.hues.value.get(category)} />
            {review.choices.digitOf(category) && <kbd>{review.choices.digitOf(category)}</kbd>}
          </li>
        ))}
        {offersNew && (
          <li
            id={`${id}-${found.length}`}
            role="option"
            aria-selected={at === found.length}
            onClick={() => choose(found.length)}
          >
            New category “<bdi>{visible(name)}</bdi>”
          </li>
        )}
      </ul>
      {last < 0 && <p class="hint">The project has no categories yet.</p>}
    </Dialog>
  );
}

/** The categories that hold the typed text, those that begin with it first; without a text the recent ones first. */
export function matches(all: readonly string[], recent: readonly string[], typed: string): string[] {
  const wanted = typed.trim().toLowerCase();
  const known = new Set(all);
  const ordered = [...new Set([...recent.filter((c) => known.has(c)), ...all])];
  if (!wanted) return ordered;
  const starts = ordered.filter((c) => c.toLowerCase().startsWith(wanted));
  const holds = ordered.filter((c) => c.toLowerCase().includes(wanted));
  return [...new Set([...starts, ...holds])];
}
