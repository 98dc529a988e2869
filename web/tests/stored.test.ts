import { expect, it, vi } from "vitest";
import { MemoryStorage } from "./storage";

vi.mock("../src/auth/session", () => ({ person: { value: { name: "Ana" } } }));
const { readStored, writeStored } = await import("../src/state/storage");

it("a value that the browser has no room for does not leave the one before", () => {
  const storage = new MemoryStorage();
  writeStored("done", [1], () => storage);
  expect(readStored("done", [], () => storage)).toEqual([1]);
  storage.setItem = () => {
    throw new DOMException("full", "QuotaExceededError");
  };
  writeStored("done", [1, 2], () => storage);
  expect(readStored("done", [], () => storage)).toEqual([]);
});
