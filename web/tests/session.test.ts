import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { MemoryStorage } from "./storage";

vi.mock("../src/auth/entra", () => ({}));
vi.mock("../src/router", () => ({ takeKey: () => null }));
vi.stubGlobal("window", { addEventListener: () => {} });
vi.stubGlobal("sessionStorage", new MemoryStorage());
const { begin, person, signInWithKey, signOut } = await import("../src/auth/session");
const { call } = await import("../src/api/http");

const NAMES: Readonly<Record<string, string>> = { "key a": "Ana", "key b": "Ben" };
const held: ((answer: Response) => void)[] = [];
/** What addresses with this text are answered; 0: nothing. */
const broken = { address: "", status: 0 };
const SETTINGS = "The app settings are invalid.";
vi.stubGlobal("fetch", async (address: string, init: RequestInit) => {
  if (broken.address && address.includes(broken.address)) {
    if (!broken.status) throw new TypeError("Failed to fetch");
    const body = broken.status === 503 ? { error: { code: "ServiceUnavailable", message: SETTINGS } } : null;
    return new Response(body && JSON.stringify(body), { status: broken.status });
  }
  if (address.endsWith("config.json")) return Response.json({ authMode: "local" });
  const key = (init.headers as Record<string, string>)["Ocp-Apim-Subscription-Key"] ?? "";
  const name = NAMES[key];
  if (address.includes("/whoami") && key !== "slow key")
    return name ? Response.json({ name, roles: ["*"] }) : new Response(null, { status: 401 });
  return new Promise<Response>((answer) => void held.push(answer));
});

/** Sends a call that the server refuses; returns how to let the answer come. */
async function sent(): Promise<() => Promise<unknown>> {
  const calling = call("/x", { method: "POST" }).catch((error: unknown) => error);
  await vi.waitFor(() => expect(held).toHaveLength(1));
  return () => (held.pop()!(new Response(null, { status: 401 })), calling);
}

describe("an answer that says the sign-in is not accepted", () => {
  beforeEach(async () => {
    await begin();
    await signInWithKey("key a");
  });

  it("ends the session that it was sent in", async () => {
    const answer = await sent();
    await answer();
    expect([person.value, sessionStorage.getItem("labelbridge.key")]).toEqual([null, null]);
  });

  it.each(["with the key of the person before", "without a key"])(
    "leaves that of the next person alone, for a call %s",
    async (how) => {
      if (how === "without a key") signOut();
      const answer = await sent();
      signOut();
      await signInWithKey("key b");
      await answer();
      expect([person.value?.name, sessionStorage.getItem("labelbridge.key")]).toEqual(["Ben", "key b"]);
    },
  );

  it("learns that the server does not know the key", async () => {
    signOut();
    await expect(signInWithKey("unknown")).rejects.toThrow();
    expect([person.value, sessionStorage.getItem("labelbridge.key")]).toEqual([null, null]);
  });
});

describe("a key in the form", () => {
  it("is not kept in the tab when the server does not respond", async () => {
    await begin();
    Object.assign(broken, { address: "/whoami", status: 500 });
    vi.useFakeTimers();
    const refused = expect(signInWithKey("key a")).rejects.toThrow();
    await vi.advanceTimersByTimeAsync(20_000);
    await refused;
    vi.useRealTimers();
    broken.address = "";
    expect([person.value, sessionStorage.getItem("labelbridge.key")]).toEqual([null, null]);
  });
});

describe("a key that is still tried while another person signs in", () => {
  it.each([200, 401, 403])("changes nothing about that sign-in when status %d comes", async (status) => {
    await begin();
    const trying = signInWithKey("slow key").catch(() => null);
    await vi.waitFor(() => expect(held).toHaveLength(1));
    await signInWithKey("key b");
    held.pop()!(new Response(JSON.stringify({ name: "Ana", roles: ["*"] }), { status }));
    await trying;
    expect([person.value?.name, sessionStorage.getItem("labelbridge.key")]).toEqual(["Ben", "key b"]);
  });
});

describe("a page that starts while the server does not respond", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => {
    vi.useRealTimers();
    broken.address = "";
  });

  /** What starting the page ends with, after all tries. */
  async function started(address: string, status: number): Promise<unknown> {
    Object.assign(broken, { address, status });
    const starting = begin().then(
      () => "started",
      (error: unknown) => (error as Error).message,
    );
    await vi.advanceTimersByTimeAsync(20_000);
    return starting;
  }

  it("says why it has no settings", async () => {
    expect(await started("config.json", 503)).toBe(SETTINGS);
    expect(await started("config.json", 429)).toContain("too busy");
  });

  it.each([0, 408, 429, 500, 503])("keeps the sign-in of the tab after status %d", async (status) => {
    sessionStorage.setItem("labelbridge.key", "key a");
    expect(await started("/whoami", status)).not.toBe("started");
    broken.address = "";
    await begin();
    expect(person.value?.name).toBe("Ana");
  });
});
