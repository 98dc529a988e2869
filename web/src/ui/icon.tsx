/** Line icons of 20 by 20; always beside or instead of a name that is given elsewhere. */

const PATHS = {
  check: "M4 10.5l4 4 8-9",
  cross: "M5 5l10 10M15 5L5 15",
  next: "M7 4l6 6-6 6",
  previous: "M13 4l-6 6 6 6",
  all: "M2 11l3.5 3.5L11 7M9 12.5l2 2 7-9",
  undo: "M7 5L3 9l4 4M3 9h9a5 5 0 010 10h-2",
  save: "M4 4h9l3 3v9H4zM7 4v4h5V4M7 16v-4h6v4",
  help: "M7.5 7.5a2.5 2.5 0 113.6 2.2c-.8.4-1.1 1-1.1 1.8M10 14.6v.1",
  lock: "M5 9h10v7H5zM7 9V6.5a3 3 0 016 0V9",
  sun: "M10 6.5a3.5 3.5 0 110 7 3.5 3.5 0 010-7M10 1.8v1.6M10 16.6v1.6M1.8 10h1.6M16.6 10h1.6M4.2 4.2l1.1 1.1M14.7 14.7l1.1 1.1M4.2 15.8l1.1-1.1M14.7 5.3l1.1-1.1",
  moon: "M16 12.5A7 7 0 117.5 4a5.6 5.6 0 008.5 8.5z",
  list: "M4 5.5h12M4 10h12M4 14.5h12",
  filter: "M3 5h14M6 10h8M8.5 15h3",
  plus: "M10 4v12M4 10h12",
  none: "M10 3a7 7 0 110 14 7 7 0 010-14M5 5l10 10",
  doubt: "M2 10h3l2-5 4 10 2-5h5",
  flag: "M5 17.5v-14h9l-2 3.5 2 3.5H5",
  note: "M4 4h12v9l-3.5 3.5H4zM7 8h6M7 11h4",
  book: "M10 5.5C8.5 4.3 6.5 4 3.5 4v11.5c3 0 5 .3 6.5 1.5 1.5-1.2 3.5-1.5 6.5-1.5V4c-3 0-5 .3-6.5 1.5zM10 5.5V17",
  warning: "M10 3.5l7.5 13h-15zM10 8.5v3.5M10 14.2v.1",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 18 }: { name: IconName; size?: number }) {
  return (
    <svg class="icon" viewBox="0 0 20 20" width={size} height={size} aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
