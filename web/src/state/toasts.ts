/** Short messages at the edge of the page, read out by screen readers. */

import { signal } from "@preact/signals";

export interface Toast {
  readonly id: number;
  readonly tone: "info" | "good" | "bad";
  readonly text: string;
  readonly action?: { readonly label: string; readonly run: () => void };
  /** What the message is about; it goes when that has changed. */
  readonly about?: string;
}

export const toasts = signal<readonly Toast[]>([]);
let next = 1;

export function toast(
  text: string,
  tone: Toast["tone"] = "info",
  more: Pick<Toast, "action" | "about"> = {},
): void {
  const shown: Toast = { id: next++, tone, text, ...more };
  toasts.value = [...toasts.value.filter((t) => t.text !== text).slice(-2), shown];
  const seconds = tone === "bad" ? 12 : more.action ? 10 : 4;
  setTimeout(() => dismiss(shown.id), seconds * 1000);
}

export function dismissAbout(about: string): void {
  toasts.value = toasts.value.filter((t) => t.about !== about);
}

export function dismiss(id: number): void {
  toasts.value = toasts.value.filter((t) => t.id !== id);
}
