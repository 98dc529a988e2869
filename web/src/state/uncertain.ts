/** The command that goes to uncertain suggestions. */

import { UNCERTAIN } from "../domain/colors";
import { count } from "../domain/format";
import { MOST_SEARCHED, type DocumentList } from "./list";
import type { Review } from "./review";
import { toast } from "./toasts";

/** To the next suggestion below `UNCERTAIN` that waits, in this document or in one that follows. */
export async function nextUncertain(review: Review): Promise<void> {
  const uncertain = (ids: readonly string[]): string | undefined => {
    const doubtful = new Set(review.waiting.value.filter((s) => s.confidence < UNCERTAIN).map((s) => s.id));
    return ids.find((id) => doubtful.has(id));
  };
  const ids = review.suggestionIds();
  const here = uncertain(ids.slice(ids.indexOf(review.cursor.value ?? "") + 1));
  if (here) return void (review.cursor.value = here);
  const list = review.list.value;
  if (!list) return;
  const from = review.index.value;
  const sorted = review.filters?.order === "uncertainty";
  const index = await list.find(
    (row, at) => at > from && (row.confidence ?? 1) < UNCERTAIN && !review.drafts.get(row.id),
    (last) => sorted && (last.confidence ?? 0) >= UNCERTAIN,
  );
  if (review.list.value !== list || review.index.value !== from) return; // someone went on meanwhile
  if (index < 0) return toast(list.error.value ?? noneUncertain(list), list.error.value ? "bad" : "good");
  await review.openRow(index);
  review.cursor.value = uncertain(review.suggestionIds()) ?? review.cursor.value;
}

/** Says how far it was looked for. */
function noneUncertain({ rows, done, paused }: DocumentList): string {
  const { length } = rows.value;
  const bounded = !done.value && (paused.value || length >= MOST_SEARCHED);
  const part = bounded ? `among the first ${count(length)} documents of` : "in";
  return `No uncertain suggestion follows ${part} this list.`;
}
