/** The operations of a lead. */

import { json } from "./http";
import type { Page } from "./types";

/** What a person did on a day (UTC). */
export interface Work {
  date: string;
  by: string;
  documents: number;
  accepted: number;
  rejected: number;
  labeled: number;
  bulk: number;
  undone: number;
}

interface Progress extends Page<Work> {
  complete: boolean;
}

const inProject = (name: string, rest: string): string =>
  `/authoring/analyze-text/projects/${encodeURIComponent(name)}${rest}`;

/** The work since a day. The server counts a part of what is new in each request: this asks until all is counted. */
export async function readProgress(project: string, fromDate: string): Promise<Work[]> {
  let query: Record<string, string> = { fromDate };
  let found: Work[] = [];
  for (;;) {
    const page = await json<Progress>(inProject(project, "/progress"), { query });
    if (!page.complete) {
      query = { fromDate };
      found = [];
      continue;
    }
    found = found.concat(page.value);
    if (!page.continuationToken) return found;
    query = { fromDate, continuationToken: page.continuationToken };
  }
}

/** How many documents a person has, by status; `assignee` null: those of nobody. */
export interface Assignment {
  assignee: string | null;
  documents: number;
  unlabeled: number;
  autoLabeled: number;
  labeled: number;
  rejected: number;
}

export const listAssignments = async (project: string): Promise<Assignment[]> =>
  (await json<Page<Assignment>>(inProject(project, "/assignments"))).value;

export interface AssignFilter {
  assignedTo: string;
  status?: string;
  locationPrefix?: string;
  category?: string;
  orderby?: string;
}

/** Documents that one request assigns. */
const MOST = 1_000;

/** Assigns the first `count` documents of a filter, `@none`: to nobody; answers how many were assigned. */
export async function assign(
  project: string,
  assignee: string,
  count: number,
  filter: AssignFilter,
): Promise<number> {
  let done = 0;
  for (let more = true; more && done < count;) {
    const body = { assignee, count: Math.min(MOST, count - done), filter };
    const answer = await json<{ assigned: number; more: boolean }>(inProject(project, "/documents/:assign"), {
      method: "POST",
      body,
    });
    done += answer.assigned;
    more = answer.more && answer.assigned > 0;
  }
  return done;
}
