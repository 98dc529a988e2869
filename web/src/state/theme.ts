/** Light or dark: as the system says, until someone chooses. */

import { signal } from "@preact/signals";

const KEY = "labelbridge.theme";
type Theme = "light" | "dark";

const system = window.matchMedia("(prefers-color-scheme: dark)");
const chosen = localStorage.getItem(KEY) as Theme | null;

export const theme = signal<Theme>(chosen ?? (system.matches ? "dark" : "light"));
if (chosen) document.documentElement.dataset["theme"] = chosen;

system.addEventListener("change", () => {
  if (!localStorage.getItem(KEY)) theme.value = system.matches ? "dark" : "light";
});

export function setTheme(next: Theme): void {
  theme.value = next;
  localStorage.setItem(KEY, next);
  document.documentElement.dataset["theme"] = next;
}
