/** The categories with their number keys: for the document, a suggestion or selected text. */

import { useSignal } from "@preact/signals";
import { may } from "../auth/session";
import { isEntities, isSingle } from "../domain/labels";
import type { Review } from "../state/review";
import { CategoryName } from "../ui/category";
import { Icon } from "../ui/icon";
import { keyCap } from "../state/keyboard";
import { NO_LABEL } from "./commands";
import { TextInput } from "../ui/parts";

/** Up to so many categories are all shown; of more, those that a key or a recent use points to. */
const MOST_SHOWN = 24;

interface Props {
  review: Review;
  onMore: () => void;
  onNumbers: () => void;
}

export function Categories({ review, onMore, onNumbers }: Props) {
  const entities = isEntities(review.kind);
  const chosen = review.derived.value?.labels?.categories ?? [];
  const all = review.open.categories.value.map((c) => c.category);
  return (
    <section aria-labelledby="categories-title">
      <div class="panel-title">
        <h2 id="categories-title">{entities ? "Categories" : "Classes"}</h2>
        <button type="button" class="quiet small" onClick={onNumbers}>
          Number keys…
        </button>
      </div>
      <p class="hint">
        {entities
          ? "A number key labels the selection or relabels the suggestion."
          : isSingle(review.kind)
            ? "Single-label: a number key chooses the class."
            : "Multi-label: a number key adds or removes a class."}
      </p>
      <div class="category-list">
        {shortList(review, chosen).map((category) => (
          <CategoryOption
            key={category}
            review={review}
            category={category}
            pressed={entities ? undefined : chosen.includes(category)}
            onChoose={() => review.labeling.choose(category)}
          />
        ))}
      </div>
      <div class="actions start">
        {all.length > 0 && (
          <button type="button" class="small" aria-keyshortcuts="/ c" onClick={onMore}>
            {all.length > MOST_SHOWN ? `All ${all.length} categories…` : "Find a category…"}{" "}
            <kbd aria-hidden="true">/</kbd>
          </button>
        )}
        <button
          type="button"
          class="small"
          aria-keyshortcuts={NO_LABEL.key}
          title={NO_LABEL.help}
          disabled={!NO_LABEL.enabled(review)}
          onClick={() => NO_LABEL.run(review)}
        >
          <Icon name={NO_LABEL.icon} size={15} /> {NO_LABEL.name}{" "}
          <kbd aria-hidden="true">{keyCap(NO_LABEL.key)}</kbd>
        </button>
      </div>
      <NewCategory
        review={review}
        onDefined={(category) => (entities ? undefined : review.labeling.choose(category))}
      />
    </section>
  );
}

/** The categories to offer at once: all of a few; else those chosen, with a number key, or used last. */
export function shortList(review: Review, chosen: readonly string[]): string[] {
  const all = review.open.categories.value.map((c) => c.category);
  if (all.length <= MOST_SHOWN) return all;
  const known = new Set(all);
  const { byDigit, recent } = review.choices;
  const wanted = [...chosen, ...byDigit.value.values(), ...recent.value];
  return [...new Set(wanted)].filter((category) => known.has(category));
}

interface OptionProps {
  review: Review;
  category: string;
  pressed: boolean | undefined;
  onChoose: () => void;
}

export function CategoryOption({ review, category, pressed, onChoose }: OptionProps) {
  const digit = review.choices.digitOf(category);
  const description = review.open.categories.value.find((c) => c.category === category)?.description;
  return (
    <button
      type="button"
      class={`chip option hue-${review.open.hues.value.get(category) ?? "none"}`}
      aria-pressed={pressed}
      aria-keyshortcuts={digit ?? undefined}
      title={description ? `${category}: ${description}` : category}
      disabled={review.readOnly.value !== null}
      onClick={onChoose}
    >
      {digit && <kbd aria-hidden="true">{digit}</kbd>}
      <CategoryName name={category} hue={review.open.hues.value.get(category)} />
    </button>
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
  if (!may("Labels.Review") || review.source.blind) return null;
  const submit = (event: Event): void => {
    event.preventDefault();
    const category = name.value.trim();
    if (!category) return;
    review.labeling.define(category);
    name.value = "";
    onDefined(category);
  };
  return (
    <form onSubmit={submit}>
      <label class="field">
        <span class="field-label">New category</span>
        <span class="inline-form">
          <TextInput maxLength={50} signal={name} />
          <button type="submit" disabled={!name.value.trim() || review.readOnly.value !== null}>
            Add
          </button>
        </span>
      </label>
    </form>
  );
}
