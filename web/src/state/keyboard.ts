/** The command of a key, also on non-Latin keyboards, and the label of that key. */

import { signal } from "@preact/signals";

/** What this keyboard writes with a Latin key, where it writes something else: "a" is "ф" on a Russian one. */
const caps = signal<ReadonlyMap<string, string>>(new Map());

/** The key as the person sees it on the keyboard in use. */
export const keyCap = (key: string): string => caps.value.get(key) ?? key;

/** The command key that was pressed: by what it writes, or by its place where that is no Latin letter. */
export function commandKey(event: Pick<KeyboardEvent, "key" | "code" | "shiftKey">): string {
  const key = event.key.toLowerCase();
  const letter = /^Key([A-Z])$/.exec(event.code)?.[1]?.toLowerCase();
  const digit = /^Digit([0-9])$/.exec(event.code)?.[1];
  if (letter && key.length === 1) learn(letter, key);
  if (/^[a-z0-9?/]$/.test(key) || key.length > 1) return key;
  if (digit && !event.shiftKey) return digit; // AZERTY writes digits with Shift
  if (letter && !isAscii(key)) return letter;
  return event.code === "Slash" && !isAscii(key) ? (event.shiftKey ? "?" : "/") : key;
}

/** Asks the browser for the layout, where it tells; otherwise the first keys that are pressed tell it. */
export async function readLayout(): Promise<void> {
  const { keyboard } = navigator as { keyboard?: { getLayoutMap(): Promise<Map<string, string>> } };
  const layout = await keyboard?.getLayoutMap().catch(() => null);
  for (const [code, key] of layout ?? []) {
    const letter = /^Key([A-Z])$/.exec(code)?.[1]?.toLowerCase();
    if (letter) learn(letter, key);
  }
}

const isAscii = (key: string): boolean => key.charCodeAt(0) < 128;

function learn(letter: string, key: string): void {
  const shown = isAscii(key) ? undefined : key;
  if (caps.value.get(letter) === shown) return;
  const next = new Map(caps.value);
  if (shown) next.set(letter, shown);
  else next.clear(); // a Latin layout again
  caps.value = next;
}
