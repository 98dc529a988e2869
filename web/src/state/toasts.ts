/** Short messages at the edge of the page, read out by screen readers. */

import { signal } from "@preact/signals";

export interface Toast {
  readonly id: number;
  readonly tone: "info" | "good" | "bad";
  readonly text: string;
  readonly action?: { readonly label: string; readonly run: () => void };
}

export const toasts = signal<readonly Toast[]>([]);
let next = 1;

export function toast(text: string, tone: Toast["tone"] = "info", action?: Toast["action"]): void {
  const one: Toast = { id: next++, tone, text, ...(action ? { action } : {}) };
  toasts.value = [...toasts.value.filter((t) => t.text !== text).slice(-2), one];
  const seconds = tone === "bad" ? 12 : action ? 10 : 4;
  setTimeout(() => dismiss(one.id), seconds * 1000);
}

export function dismiss(id: number): void {
  toasts.value = toasts.value.filter((t) => t.id !== id);
}
