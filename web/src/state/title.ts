/** What people call the project that is open: known as soon as it was read. */

import { signal } from "@preact/signals";

const read = signal<{ readonly name: string; readonly title: string } | null>(null);

export const setTitle = (name: string, title: string | undefined): void =>
  void (read.value = { name, title: title || name });

export const titleOf = (name: string): string => (read.value?.name === name ? read.value.title : name);
