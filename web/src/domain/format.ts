/** Formats of numbers, times and values of the API. */

import type { Kind, Studio } from "../api/types";

export const count = (n: number): string => n.toLocaleString("en");

export const plural = (n: number, singular: string, many = `${singular}s`): string =>
  `${count(n)} ${n === 1 ? singular : many}`;

/** An amount in the currency of the server's prices, which it does not name. */
export const money = (amount: number): string =>
  amount.toLocaleString("en", { minimumFractionDigits: 2, maximumSignificantDigits: 3 });

export const percent = (share: number): string => `${Math.round(share * 100)}%`;

export const score = (value: number | null | undefined): string => (value == null ? "–" : value.toFixed(3));

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** "3 minutes ago"; the exact time goes into the title. */
export function ago(iso: string | undefined, now = Date.now()): string {
  if (!iso) return "never";
  const seconds = Math.round((Date.parse(iso) - now) / 1000);
  const steps: [number, Intl.RelativeTimeFormatUnit][] = [
    [86_400, "day"],
    [3_600, "hour"],
    [60, "minute"],
  ];
  for (const [size, unit] of steps) {
    if (Math.abs(seconds) >= size) return relative.format(Math.round(seconds / size), unit);
  }
  return Math.abs(seconds) < 5 ? "just now" : relative.format(seconds, "second");
}

/** "2 min 5 s" of seconds; below ten seconds with a digit more. */
export function duration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

export const trained = (iso: string | undefined): string => (iso ? `Trained ${ago(iso)}` : "Not trained yet");

export const moment = (iso: string | undefined): string =>
  iso ? new Date(iso).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" }) : "never";

const KINDS: Record<Kind, string> = {
  CustomSingleLabelClassification: "Single-label",
  CustomMultiLabelClassification: "Multi-label",
  CustomEntityRecognition: "Entities",
};
export const kindName = (kind: Kind): string => KINDS[kind];

export const studioName = (studio: Studio | undefined): string =>
  studio === "azureMachineLearning" ? "Azure Machine Learning" : "Labelbridge";

/** "partiallyCompleted" as people write it: "partially completed". */
export const words = (camel: string): string => camel.replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();

const EDGES_AND_RUNS = /^ +| +$| {2,}/g;
const OTHER_BLANKS = /[^\S ]/g;

/** A name with marks for invisible spaces: at its ends, repeated, or of an unusual kind. */
export const visible = (name: string): string =>
  name.replace(OTHER_BLANKS, "␣").replace(EDGES_AND_RUNS, (spaces) => "␣".repeat(spaces.length));

/** The last part of a blob name, and the folder before it. */
export function splitLocation(location: string): { folder: string; name: string } {
  const at = location.lastIndexOf("/");
  return { folder: location.slice(0, at + 1), name: location.slice(at + 1) };
}
