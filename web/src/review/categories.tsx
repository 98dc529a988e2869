/** The categories with their number keys: what a document, a suggestion or selected text can be called. */

import { isEntities, isSingle } from "../domain/labels";
import type { Review } from "../state/review";
import { NewCategory } from "./category-menu";
import { numberKey } from "./commands";

export function Categories({ review }: { review: Review }) {
  const entities = isEntities(review.kind);
  const chosen = review.derived.value?.labels?.categories ?? [];
  return (
    <section aria-labelledby="categories-title">
      <div class="panel-title">
        <h2 id="categories-title">{entities ? "Categories" : "Classes"}</h2>
      </div>
      <p class="hint">
        {entities
          ? "A number names the selection or the suggestion."
          : isSingle(review.kind)
            ? "One class a document; a number chooses it."
            : "A number adds or removes a class."}
      </p>
      <div class="category-list">
        {review.open.categories.value.map(({ category, description }, index) => (
          <button
            key={category}
            type="button"
            class="chip option"
            aria-pressed={entities ? undefined : chosen.includes(category)}
            aria-keyshortcuts={numberKey(index) ?? undefined}
            title={description ?? undefined}
            disabled={review.locked.value}
            onClick={() => review.labeling.choose(category)}
          >
            {numberKey(index) && <kbd aria-hidden="true">{numberKey(index)}</kbd>}
            <bdi>{category}</bdi>
          </button>
        ))}
      </div>
      <NewCategory
        review={review}
        onDefined={(category) => (entities ? undefined : review.labeling.choose(category))}
      />
    </section>
  );
}
