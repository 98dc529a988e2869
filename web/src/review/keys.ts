/** Keys for the whole page, silent while someone types or a dialog is open. */

import { commandKey } from "../state/keyboard";
import type { Review } from "../state/review";
import { commandsOf } from "./commands";

export function listenToKeys(review: Review): () => void {
  const pressed = (event: KeyboardEvent): void => {
    if (event.defaultPrevented || document.querySelector("dialog[open]") || isTyping(event.target)) return;
    if (act(event, review)) event.preventDefault();
  };
  document.addEventListener("keydown", pressed);
  return () => document.removeEventListener("keydown", pressed);
}

/** Does what the key means; false when it means nothing here. */
function act(event: KeyboardEvent, review: Review): boolean {
  const key = commandKey(event);
  if (event.ctrlKey || event.metaKey) {
    if (key === "s") void review.saving.save(true);
    else if (key === "z") void review.undo();
    else return false;
    return true;
  }
  if (event.altKey) return false;
  if (key === "?") review.dialogs.open("help");
  else if (key === "/" || key === "c") review.dialogs.open("picker");
  else if (key === "escape" && review.labeling.selection.value) review.labeling.deselect();
  else return command(key, review) || category(key, review);
  return true;
}

function command(key: string, review: Review): boolean {
  const found = commandsOf(review).find((command) => command.key === key);
  found?.run(review);
  return found !== undefined;
}

function category(digit: string, review: Review): boolean {
  const found = review.choices.byDigit.value.get(digit);
  if (found !== undefined) review.labeling.choose(found);
  return found !== undefined;
}

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement)
    return !["checkbox", "radio", "button", "submit"].includes(target.type);
  return (
    target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement
  );
}
