/** Views by the hash of the address: the server has only one page. */

import { computed, signal } from "@preact/signals";

export const TABS = [
  "overview",
  "review",
  "label",
  "autolabel",
  "training",
  "team",
  "connection",
  "settings",
] as const;
export type Tab = (typeof TABS)[number];

export type Route =
  | { view: "projects" }
  | { view: "project"; project: string; tab: Tab; query: URLSearchParams }
  | { view: "unknown" };

export function parse(hash: string): Route {
  const [path = "", search = ""] = hash.replace(/^#/, "").split("?", 2);
  const parts = path.split("/").filter(Boolean);
  if (!parts.length || (parts.length === 1 && parts[0] === "projects")) return { view: "projects" };
  const tab = (parts[2] ?? "overview") as Tab;
  if (parts[0] !== "projects" || parts.length > 3 || !TABS.includes(tab)) return { view: "unknown" };
  try {
    return {
      view: "project",
      project: decodeURIComponent(parts[1]!),
      tab,
      query: new URLSearchParams(search),
    };
  } catch {
    return { view: "unknown" };
  }
}

export function href(
  project: string,
  tab: Tab = "overview",
  query: Record<string, string | undefined> = {},
): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value) search.set(name, value);
  const tail = search.size ? `?${search}` : "";
  return `#/projects/${encodeURIComponent(project)}/${tab}${tail}`;
}

const hash = signal(window.location.hash);
/** The address that the page itself wrote last, until a person goes to another. */
let written: string | null = null;
window.addEventListener("hashchange", () => {
  written = null;
  hash.value = window.location.hash;
});

export const route = computed(() => parse(hash.value));

/** Whether the view is of the present address: the browser reports a change of it a moment later. */
export const isShown = (): boolean => hash.peek() === window.location.hash;

/** Whether a person went to the present address; the page writes others itself, to name what it shows. */
export const isAskedFor = (): boolean => written !== window.location.hash;

/** Changes the address without a new entry in the browser's history, as moving through the documents does. */
export function replace(target: string): void {
  window.history.replaceState(null, "", target);
  written = window.location.hash;
  hash.value = written;
}

/** The key in an address like `#key=…`, which is gone from the address and from the browser's history at once. */
export function takeKey(): string | null {
  const found = /^#key=(.+)$/.exec(window.location.hash);
  if (!found) return null;
  replace("#/projects");
  try {
    return decodeURIComponent(found[1]!);
  } catch {
    return found[1]!;
  }
}
