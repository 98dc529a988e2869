import { beforeEach, describe, expect, it, vi } from "vitest";
import { MemoryStorage } from "./storage";

vi.mock("../src/auth/entra", () => ({}));
vi.mock("../src/router", () => ({ takeKey: () => null }));
vi.stubGlobal("window", { addEventListener: () => {} });
vi.stubGlobal("sessionStorage", new MemoryStorage());
const { begin, person, signInWithKey, signOut } = await import("../src/auth/session");
const { call } = await import("../src/api/http");

const NAMES: Readonly<Record<string, string>> = { "key a": "Ana", "key b": "Ben" };
const held: (() => void)[] = [];
vi.stubGlobal("fetch", async (address: string, init: RequestInit) => {
  if (address.endsWith("config.json")) return Response.json({ authMode: "local" });
  const name = NAMES[(init.headers as Record<string, string>)["Ocp-Apim-Subscription-Key"] ?? ""];
  if (address.includes("/whoami"))
    return name ? Response.json({ name, roles: ["*"] }) : new Response(null, { status: 401 });
  await new Promise<void>((go) => void held.push(go));
  return new Response(null, { status: 401 });
});

/** Sends a call that the server refuses; returns how to let the answer come. */
async function sent(): Promise<() => Promise<unknown>> {
  const calling = call("/x", { method: "POST" }).catch((error: unknown) => error);
  await vi.waitFor(() => expect(held).toHaveLength(1));
  return () => (held.pop()!(), calling);
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
