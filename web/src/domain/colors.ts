/** Colors of categories: chosen by name, so that a category looks the same to everyone and on every day. */

export const HUES = 12;

/** The hue of each category. Of the first dozen no two share one: later ones take the next free one. */
export function huesOf(categories: readonly string[]): ReadonlyMap<string, number> {
  const hues = new Map<string, number>();
  const taken = new Set<number>();
  for (const name of categories) {
    let hue = hueOf(name);
    for (let tries = 0; tries < HUES && taken.has(hue) && taken.size < HUES; tries++) hue = (hue + 5) % HUES;
    taken.add(hue);
    hues.set(name, hue);
  }
  return hues;
}

/** FNV-1a over the UTF-16 code units of the name. */
export function hueOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % HUES;
}

/** How uncertain a suggestion is: shown by the weight of its underline. */
export function doubtOf(confidence: number): "low" | "medium" | "high" {
  return confidence >= 0.8 ? "low" : confidence >= UNCERTAIN ? "medium" : "high";
}

/** Below this confidence a suggestion is called uncertain. */
export const UNCERTAIN = 0.6;
