/** The labels that only one of two versions has. */

import { useId } from "preact/hooks";
import { plural } from "../domain/format";
import { differences, end, type Labels, type Place } from "../domain/labels";
import { CategoryName } from "../ui/category";

const MOST_LISTED = 50;
const AROUND = 30;

interface Props {
  hues: ReadonlyMap<string, number>;
  /** What is said of a label that only the one or only the other version has. */
  sides: readonly [string, string];
  mine: Labels | null;
  theirs: Labels | null;
  text: string | null;
}

/** The labels that only one version has, each with the words around it: nobody compares two long texts by eye. */
export function DifferenceList({ hues, sides, mine, theirs, text }: Props) {
  const id = useId();
  const found = differences(mine, theirs);
  const rows = [
    ...found.mine.map((place) => ({ side: sides[0], place })),
    ...found.theirs.map((place) => ({ side: sides[1], place })),
  ].sort((a, b) => (a.place.offset ?? 0) - (b.place.offset ?? 0));
  if (!rows.length) return null;
  return (
    <div>
      <h3 id={id}>What differs</h3>
      <ul class="differences" role="list" aria-labelledby={id} tabIndex={0}>
        {rows.slice(0, MOST_LISTED).map(({ side, place }) => (
          <li key={`${side}${JSON.stringify(place)}`}>
            <span class={`badge ${side === sides[0] ? "" : "other"}`}>{side}</span>
            <CategoryName name={place.category} hue={hues.get(place.category)} />
            {text !== null && <Context text={text} place={place} />}
          </li>
        ))}
      </ul>
      {rows.length > MOST_LISTED && <p class="hint">and {rows.length - MOST_LISTED} more</p>}
      {found.shared > 0 && (
        <p class="hint">{plural(found.shared, "label is", "labels are")} the same in both.</p>
      )}
    </div>
  );
}

function Context({ text, place: { offset, length } }: { text: string; place: Place }) {
  if (offset === undefined || length === undefined) return null;
  const to = end({ offset, length });
  return (
    <span class="difference-text" dir="auto">
      {offset > AROUND ? "…" : ""}
      {text.slice(Math.max(0, offset - AROUND), offset)}
      <strong>{text.slice(offset, to)}</strong>
      {text.slice(to, to + AROUND)}
      {to + AROUND < text.length ? "…" : ""}
    </span>
  );
}
