import { effect } from "@preact/signals";
import { afterEach, expect, it, vi } from "vitest";
import { onPhone } from "../src/ui/phone";

afterEach(() => void vi.unstubAllGlobals());

it("renders again who asked when the window becomes narrow, or a phone is turned", () => {
  const heard: ((event: { matches: boolean }) => void)[] = [];
  const matchMedia = vi.fn(() => ({
    matches: false,
    addEventListener: (_: string, listener: (event: { matches: boolean }) => void) => heard.push(listener),
  }));
  vi.stubGlobal("window", { matchMedia });
  const seen: boolean[] = [];
  const stop = effect(() => void seen.push(onPhone()));
  for (const matches of [true, false]) heard.forEach((listener) => listener({ matches }));
  stop();
  expect(seen).toEqual([false, true, false]);
  expect(matchMedia).toHaveBeenCalledTimes(1);
});
