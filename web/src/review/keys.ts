/** Keys for the whole page, silent while somebody types or a dialog is open. */

import type { Review } from "../state/review";
import { COMMANDS } from "./commands";

export function listenToKeys(review: Review, openHelp: () => void): () => void {
  const pressed = (event: KeyboardEvent): void => {
    if (event.defaultPrevented || document.querySelector("dialog[open]") || isTyping(event.target)) return;
    if (act(event, review, openHelp)) event.preventDefault();
  };
  document.addEventListener("keydown", pressed);
  return () => document.removeEventListener("keydown", pressed);
}

function act(event: KeyboardEvent, review: Review, openHelp: () => void): boolean {
  const key = event.key.toLowerCase();
  if (event.ctrlKey || event.metaKey) {
    if (key === "s") return done(review.saving.save(true));
    if (key === "z") return done(review.undo());
    return false;
  }
  if (event.altKey) return false;
  if (key === "?") return done(openHelp());
  if (key === "escape" && review.labeling.selection.value) {
    review.labeling.selection.value = null;
    return true;
  }
  const command = COMMANDS.find((one) => one.key === key);
  if (command) return done(command.run(review));
  if (!/^[0-9]$/.test(key)) return false;
  const category = review.open.categories.value[(Number(key) + 9) % 10];
  if (category) review.labeling.choose(category.category);
  return category !== undefined;
}

const done = (_: unknown): true => true;

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement)
    return !["checkbox", "radio", "button", "submit"].includes(target.type);
  return (
    target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement
  );
}
