import type { DocumentItem } from "../src/api/types";

/** An unlabeled document of a single-label project, as the server sends it. */
export const document = (id: string): DocumentItem => ({
  id,
  location: `${id}.txt`,
  language: "en-us",
  dataset: "Train",
  status: "unlabeled",
  eTag: "@0",
  contentChanged: false,
  missing: false,
  length: 9,
  flagged: false,
  suggestions: [],
  class: null,
});
