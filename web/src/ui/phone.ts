import { signal, type Signal } from "@preact/signals";

/** Where list, text and panel are one below the other (styles/review.css). */
const PHONE = "(max-width: 860px)";
let narrow: Signal<boolean> | undefined;

/** Whether the page is as narrow as on a phone; who asks is rendered again when that changes. */
export function onPhone(): boolean {
  if (!narrow) {
    const media = window.matchMedia(PHONE);
    const now = signal(media.matches);
    media.addEventListener("change", ({ matches }) => (now.value = matches));
    narrow = now;
  }
  return narrow.value;
}
