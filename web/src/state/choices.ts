/** A person's choices for a project: number keys of categories, recent categories, whether percentages are shown. */

import { computed, signal, type ReadonlySignal, type Signal } from "@preact/signals";
import type { Category } from "../api/types";
import { readStored, writeStored } from "./storage";

export const DIGITS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "0"] as const;
const RECENT = 8;
/** Stored for a digit that means no category; no category has an empty name. */
const NONE = "";

export class Choices {
  /** Categories by the digit that the person assigned. */
  readonly assigned: Signal<Readonly<Record<string, string>>>;
  /** Categories that were used last, newest first. */
  readonly recent: Signal<readonly string[]>;
  readonly percentages: Signal<boolean>;
  /** Categories by digit: what was assigned, then the first ten in the order of the project. */
  readonly byDigit: ReadonlySignal<ReadonlyMap<string, string>>;
  readonly digits: ReadonlySignal<ReadonlyMap<string, string>>;

  constructor(
    private readonly project: string,
    categories: ReadonlySignal<readonly Category[]>,
  ) {
    this.assigned = signal(readStored(`numbers|${project}`, {}));
    this.recent = signal(readStored(`recent|${project}`, []));
    this.percentages = signal(readStored("percentages", true));
    this.byDigit = computed(() => digitsOf(categories.value, this.assigned.value));
    this.digits = computed(() => new Map([...this.byDigit.value].map(([digit, name]) => [name, digit])));
  }

  /** The number key of a category, or null. */
  digitOf(category: string): string | null {
    return this.digits.value.get(category) ?? null;
  }

  /** Gives a digit to a category, which loses the one that it had; null: the digit means nothing. */
  assign(digit: string, category: string | null): void {
    const kept = Object.entries(this.assigned.value).filter(([d, c]) => d !== digit && c !== category);
    this.write(Object.fromEntries([...kept, [digit, category ?? NONE]]));
  }

  /** Back to the order of the project. */
  reset(): void {
    this.write({});
  }

  used(category: string): void {
    if (this.recent.value[0] === category) return;
    this.recent.value = [category, ...this.recent.value.filter((c) => c !== category)].slice(0, RECENT);
    writeStored(`recent|${this.project}`, this.recent.value);
  }

  private write(assigned: Record<string, string>): void {
    this.assigned.value = assigned;
    writeStored(`numbers|${this.project}`, assigned);
  }

  showPercentages(on: boolean): void {
    this.percentages.value = on;
    writeStored("percentages", on);
  }
}

export function digitsOf(
  categories: readonly Category[],
  assigned: Readonly<Record<string, string>>,
): ReadonlyMap<string, string> {
  const names = new Set(categories.map((c) => c.category));
  const mine = new Map(
    Object.entries(assigned).filter(([, category]) => category === NONE || names.has(category)),
  );
  const placed = new Set(mine.values());
  const found = DIGITS.map((digit, index): [string, string | undefined] => {
    const usual = categories[index]?.category;
    return [digit, mine.get(digit) ?? (usual !== undefined && !placed.has(usual) ? usual : undefined)];
  });
  return new Map(found.filter((pair): pair is [string, string] => !!pair[1]));
}
