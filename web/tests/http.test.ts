import { beforeEach, describe, expect, it, vi } from "vitest";
import { ApiError, call, messageOf } from "../src/api/http";
import { watch } from "../src/api/operations";

const answers: (() => Response)[] = [];
const asked = vi.fn(async () => answers.shift()!());
vi.stubGlobal("fetch", asked);
vi.stubGlobal("setTimeout", (then: () => void) => queueMicrotask(then)); // no test waits
vi.stubGlobal("window", { location: { href: "http://here/" } });
const empty = (status: number, headers: Record<string, string> = {}) =>
  new Response(null, { status, headers });
const failure = async (method: "GET" | "PUT" = "PUT"): Promise<ApiError> =>
  call("/x", { method }).then(
    () => expect.unreachable(),
    (error: ApiError) => error,
  );

beforeEach(() => {
  answers.length = 0;
  asked.mockClear();
});

describe("what the host answers by itself", () => {
  it.each([400, 401, 403, 404, 408, 411, 413, 414, 429, 431, 500, 502, 503, 504])(
    "is a sentence although %i has no body",
    async (status) => {
      answers.push(() => empty(status));
      const error = await failure();
      expect(error.status).toBe(status);
      expect(error.message).toMatch(/^[A-Z].+\.$/);
      expect(error.message).not.toMatch(/JSON|undefined|\d{3}/);
    },
  );

  it("is a sentence when the body is text or an unknown status", async () => {
    answers.push(() => new Response("Function host is not running.", { status: 503 }));
    expect((await failure()).message).toMatch(/starting/);
    answers.push(() => empty(418));
    expect((await failure()).message).toMatch(/418/);
  });

  it.each([429, 500, 503])("is asked again after %i where the call only reads", async (status) => {
    answers.push(
      () => empty(status, { "retry-after": "1" }),
      () => empty(status),
      () => new Response("{}"),
    );
    expect((await call("/x")).status).toBe(200);
    expect(asked).toHaveBeenCalledTimes(3);
  });

  it("is not asked again endlessly, nor where the call changes something", async () => {
    answers.push(...Array.from({ length: 9 }, () => () => empty(503)));
    expect((await failure("GET")).status).toBe(503);
    expect(asked).toHaveBeenCalledTimes(4);
    asked.mockClear();
    await failure("PUT");
    expect(asked).toHaveBeenCalledTimes(1);
  });

  it("of the app itself is not asked again: a defect stays", async () => {
    answers.push(() =>
      Response.json({ error: { code: "InternalServerError", message: "A defect." } }, { status: 500 }),
    );
    const error = await failure("GET");
    expect([error.message, error.passes, asked.mock.calls.length]).toEqual(["A defect.", false, 1]);
  });
});

describe("a job", () => {
  it("is followed through an outage of the server", async () => {
    answers.push(
      () => Response.json({ status: "running" }),
      ...Array.from({ length: 9 }, () => () => empty(503)),
      () => Response.json({ status: "succeeded", jobId: "j" }),
    );
    expect((await watch("http://here/language/jobs/j")).jobId).toBe("j");
  });

  it("is given up when the outage does not end", async () => {
    asked.mockImplementation(async () => empty(503));
    await expect(watch("http://here/language/jobs/j")).rejects.toThrow(/starting/);
    asked.mockImplementation(async () => answers.shift()!());
  });
});

describe("messages", () => {
  it("say nothing twice", () => {
    const details = [{ code: "X", message: "The studio is not configured." }];
    const error = new ApiError(400, { code: "X", message: "The studio is not configured.", details });
    expect(messageOf(error)).toBe("The studio is not configured.");
  });
});
