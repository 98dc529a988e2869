/** One way to call the API: credentials added, errors turned into `ApiError` with a message for people. */

import type { DocumentItem, ErrorBody } from "./types";

export const API_VERSION = { value: "2023-04-15-preview" };

/** Adds the caller's credentials; the session sets it. */
export type Authorize = () => Promise<Record<string, string>>;
let authorize: Authorize = async () => ({});
let unauthorized: () => void = () => {};

export function useCredentials(headers: Authorize, onUnauthorized: () => void): void {
  authorize = headers;
  unauthorized = onUnauthorized;
}

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly body: ErrorBody,
    readonly retryAfter: number | null = null,
    /** The current document, beside the error of a stale change. */
    readonly document: DocumentItem | null = null,
  ) {
    super(body.message);
  }

  get locked(): boolean {
    return this.status === 409 && this.body.innererror?.code === "LabelingLocked";
  }
}

export interface Call {
  method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  query?: Record<string, string | number | undefined>;
  body?: unknown;
  ifMatch?: string;
  signal?: AbortSignal;
}

/** The answer of a call below `/language`; raises ApiError. */
export async function call(path: string, options: Call = {}): Promise<Response> {
  const headers: Record<string, string> = { accept: "application/json", ...(await authorize()) };
  const init: RequestInit = { method: options.method ?? "GET", headers, cache: "no-store" };
  if (options.body !== undefined) {
    headers["content-type"] =
      options.method === "PATCH" ? "application/merge-patch+json" : "application/json";
    init.body = JSON.stringify(options.body);
  }
  if (options.ifMatch) headers["if-match"] = options.ifMatch;
  if (options.signal) init.signal = options.signal;
  const response = await reach(url(path, options.query), init);
  if (response.ok) return response;
  if (response.status === 401) unauthorized();
  throw await problem(response);
}

export async function json<T>(path: string, options: Call = {}): Promise<T> {
  return (await (await call(path, options)).json()) as T;
}

export function url(path: string, query: Call["query"] = {}): string {
  const search = new URLSearchParams({ "api-version": API_VERSION.value });
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "") search.set(name, String(value));
  }
  return `/language${path}?${search}`;
}

/** An absolute address of the API on this origin; behind a proxy the host it names may not be ours. */
export function sameOrigin(location: string): string {
  const { pathname, search } = new URL(location, window.location.href);
  return pathname + search;
}

export async function follow<T>(location: string, options: Call = {}): Promise<T> {
  const { pathname, searchParams } = new URL(location, window.location.href);
  const query = Object.fromEntries(searchParams);
  return json<T>(pathname.replace(/^\/language/, ""), { ...options, query: { ...query, ...options.query } });
}

async function reach(address: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(address, init);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, {
      code: "Unreachable",
      message:
        "The server cannot be reached. Your decisions are kept here; try again when you are back online.",
    });
  }
}

async function problem(response: Response): Promise<ApiError> {
  const after = Number(response.headers.get("retry-after"));
  const body = (await response.json().catch(() => null)) as {
    error?: ErrorBody;
    document?: DocumentItem;
  } | null;
  const error = body?.error ?? {
    code: String(response.status),
    message: `The server answered with status ${response.status}. Try again; if it stays so, tell your administrator.`,
  };
  return new ApiError(response.status, error, after > 0 ? after : null, body?.document ?? null);
}

/** What to tell a person about any failure. */
export function messageOf(error: unknown): string {
  if (error instanceof ApiError) {
    const details = error.body.details?.map((d) => d.message) ?? [];
    return [error.message, ...details].join(" ");
  }
  return error instanceof Error ? error.message : String(error);
}
