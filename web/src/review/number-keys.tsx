/** Which category each number key means for this person in this project. */

import { DIGITS } from "../state/choices";
import type { Review } from "../state/review";
import { CategorySelect } from "../ui/category";
import { Dialog } from "../ui/dialog";

export function NumberKeys({ review, onClose }: { review: Review; onClose: () => void }) {
  const { choices } = review;
  const categories = review.open.categories.value.map((c) => c.category);
  return (
    <Dialog title="Number keys" onClose={onClose}>
      <p class="hint">
        The keys are yours alone and are kept in this browser. Without a choice of yours they follow the order
        of the project.
      </p>
      <div class="number-keys">
        {DIGITS.map((digit) => (
          <label key={digit}>
            <kbd>{digit}</kbd>
            <CategorySelect
              aria-label={`Category of key ${digit}`}
              categories={categories}
              any="None"
              value={choices.byDigit.value.get(digit) ?? ""}
              onChange={(category) => choices.assign(digit, category || null)}
            />
          </label>
        ))}
      </div>
      <div class="actions">
        <button type="button" class="quiet" onClick={() => choices.reset()}>
          Use the order of the project
        </button>
        <button type="button" class="primary" onClick={onClose}>
          Done
        </button>
      </div>
    </Dialog>
  );
}
