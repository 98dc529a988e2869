/** Long-running operations: a 202 with `operation-location`, polled until the job has ended. */

import { ApiError, call, delay, follow, type Call } from "./http";
import type { Job } from "./types";

const ENDED = new Set(["succeeded", "failed", "cancelled", "canceled", "partiallyCompleted"]);
const POLL_MS = 700;
/** How long a job is waited for while nobody can be asked about it: about a minute and a half. */
const OUTAGE_MS = 5_000;
const MOST_OUTAGES = 10;

export const ended = (job: Pick<Job<unknown>, "status">): boolean => ENDED.has(job.status);

export class JobFailed extends Error {
  constructor(readonly job: Job) {
    super(reasons(job));
  }
}

/** Starts an operation and returns its ended job. Raises JobFailed with the reasons when it did not succeed. */
export async function run<R>(
  path: string,
  options: Call = {},
  onProgress?: (job: Job<R>) => void,
): Promise<Job<R>> {
  const location = await start(path, options);
  return watch<R>(location, onProgress, options.signal);
}

/** Starts an operation and returns the address of its job. */
export async function start(path: string, options: Call = {}): Promise<string> {
  const response = await call(path, { method: "POST", ...options });
  const location = response.headers.get("operation-location");
  if (!location) throw new Error("The server started the operation but returned no address of its job.");
  return location;
}

export async function watch<R>(
  location: string,
  onProgress?: (job: Job<R>) => void,
  signal?: AbortSignal,
): Promise<Job<R>> {
  let outages = 0;
  for (let wait = 150; ; wait = Math.min(wait * 2, POLL_MS)) {
    const job = await follow<Job<R>>(location, signal ? { signal } : {}).catch((error: unknown) => {
      // The job goes on while the server cannot be asked about it.
      if (error instanceof ApiError && error.passes && ++outages <= MOST_OUTAGES) return null;
      throw error;
    });
    if (!job) {
      await delay(OUTAGE_MS, signal);
      continue;
    }
    outages = 0;
    onProgress?.(job);
    if (ended(job)) {
      if (job.status === "failed") throw new JobFailed(job as Job);
      return job;
    }
    await delay(wait, signal);
  }
}

export const jobIdOf = (location: string): string =>
  decodeURIComponent(new URL(location, window.location.href).pathname.split("/").at(-1) ?? "");

export function reasons(job: Pick<Job<unknown>, "errors" | "status">): string {
  const found =
    job.errors?.map((e) => [e.message, ...(e.details ?? []).map((d) => d.message)].join(" ")) ?? [];
  return found.length ? found.join(" ") : `The job ended as '${job.status}' without a reason.`;
}
