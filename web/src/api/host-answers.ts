/** Responses without a body of the API: those of the Functions host and of the network, as sentences. */

import type { ErrorBody } from "./types";

const ADMINISTRATOR = "If it happens again, ask your administrator.";

/** The Functions host's own responses, with an empty body. */
const HOST_ANSWERS: Readonly<Record<number, string>> = {
  400: "The server could not read the request. Reload the page and try again.",
  401: "The server did not accept the sign-in. Sign in again.",
  403: "The server refused this request.",
  404: "The server does not know this address. Reload the page: a newer version may be deployed.",
  408: "The request took too long to reach the server. Check your connection.",
  411: "A proxy between this browser and the server removed the length of the request. Ask your administrator.",
  413: "The request is too large for the server.",
  414: "The address of the request is too long for the server. Use fewer or shorter filters.",
  429: "The server is too busy to process the request right now.",
  431: "This browser sends headers that are too large for the server. Delete the cookies of this site and try again.",
  500: `The server stopped while it was processing the request. ${ADMINISTRATOR}`,
  502: "The server cannot be reached behind its gateway.",
  503: "The server is starting or temporarily unavailable.",
  504: "The server did not respond in time.",
};

export const UNREACHABLE: ErrorBody = {
  code: "Unreachable",
  message: "The server cannot be reached. Unsaved work is kept in this browser.",
};

export function hostAnswer(status: number): ErrorBody {
  const message = HOST_ANSWERS[status] ?? `The server returned status ${status}. ${ADMINISTRATOR}`;
  return { code: String(status), message };
}

const PASSES = new Set([0, 408, 429, 502, 503, 504]);

/** Whether the same request may succeed later: not after a 500 of the app itself, which is a defect. */
export const passes = (status: number, code: string): boolean => PASSES.has(status) || code === "500";
