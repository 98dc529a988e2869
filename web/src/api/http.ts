/** Calls of the API: adds credentials, retries temporary failures, and turns errors into `ApiError` with a message. */

import { hostAnswer, passes, UNREACHABLE } from "./host-answers";
import type { DocumentItem, ErrorBody } from "./types";

export const API_VERSION = { value: "2023-04-15-preview" };

/** Adds the caller's credentials; the session sets it. */
export type Authorize = () => Promise<Record<string, string>>;
let authorize: Authorize = async () => ({});
/** Called with the credentials that the server did not accept. */
export type Unauthorized = (credentials: Record<string, string>) => void;
let unauthorized: Unauthorized = () => {};

export function useCredentials(headers: Authorize, onUnauthorized: Unauthorized): void {
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

  /** Whether the same call may succeed later. */
  get passes(): boolean {
    return passes(this.status, this.body.code);
  }
}

export interface Call {
  method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  query?: Record<string, string | number | undefined>;
  body?: unknown;
  ifMatch?: string;
  signal?: AbortSignal;
}

/** Milliseconds before each further try of a call that only reads. */
const RETRY_MS = [300, 1_000, 3_000];
const LONGEST_WAIT_MS = 10_000;

/** The response of a call below `/language`; raises ApiError. Calls that only read are tried again while that may help. */
export async function call(path: string, options: Call = {}): Promise<Response> {
  const reads = (options.method ?? "GET") === "GET";
  return reads ? retried(() => callOnce(path, options), options.signal) : callOnce(path, options);
}

/** A JSON file beside the page, which needs no credentials; raises ApiError. */
export async function file<T>(address: string): Promise<T> {
  const response = await retried(() => sent(address, { cache: "no-store" }));
  return (await response.json()) as T;
}

async function retried<T>(once: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await once();
    } catch (error) {
      const wait = error instanceof ApiError && error.passes ? RETRY_MS[tries] : undefined;
      if (wait === undefined) throw error;
      const asked = (error as ApiError).retryAfter ?? 0;
      await delay(Math.min(asked, LONGEST_WAIT_MS / 1_000) * 1_000 || wait, signal);
    }
  }
}

async function callOnce(path: string, options: Call): Promise<Response> {
  const credentials = await authorize();
  const headers: Record<string, string> = { accept: "application/json", ...credentials };
  const init: RequestInit = { method: options.method ?? "GET", headers, cache: "no-store" };
  if (options.body !== undefined) {
    headers["content-type"] =
      options.method === "PATCH" ? "application/merge-patch+json" : "application/json";
    init.body = JSON.stringify(options.body);
  }
  if (options.ifMatch) headers["if-match"] = options.ifMatch;
  if (options.signal) init.signal = options.signal;
  try {
    return await sent(url(path, options.query), init);
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) unauthorized(credentials);
    throw error;
  }
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

async function sent(address: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(address, init);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, UNREACHABLE);
  }
  if (response.ok) return response;
  throw await problem(response);
}

async function problem(response: Response): Promise<ApiError> {
  const after = Number(response.headers.get("retry-after"));
  const body = (await response.json().catch(() => null)) as {
    error?: ErrorBody;
    document?: DocumentItem;
  } | null;
  const error = body?.error?.message ? body.error : hostAnswer(response.status);
  return new ApiError(response.status, error, after > 0 ? after : null, body?.document ?? null);
}

/** The message about a failure for a person; details that the message holds already are not repeated. */
export function messageOf(error: unknown): string {
  if (error instanceof ApiError) {
    const details = error.body.details?.map((d) => d.message) ?? [];
    return [error.message, ...details.filter((text) => !error.message.includes(text))].join(" ");
  }
  return error instanceof Error ? error.message : String(error);
}

export function delay(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("The page moved on.", "AbortError"));
    });
  });
}
