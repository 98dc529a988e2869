import { describe, expect, it } from "vitest";
import { commandKey, keyCap } from "../src/state/keyboard";

const press = (key: string, code: string, shiftKey = false): string => commandKey({ key, code, shiftKey });

describe("the command of a key", () => {
  it("is what a Latin keyboard writes, wherever the key is", () => {
    expect(press("a", "KeyA")).toBe("a");
    expect(press("a", "KeyQ")).toBe("a"); // AZERTY
    expect(press("q", "KeyA")).toBe("q");
    expect(press("A", "KeyA", true)).toBe("a");
  });

  it("is the place of the key where it writes no Latin letter", () => {
    expect(press("ф", "KeyA")).toBe("a");
    expect(press("α", "KeyA")).toBe("a");
    expect(press("ש", "KeyA")).toBe("a");
    expect(press("١", "Digit1")).toBe("1");
  });

  it("knows the digits of keyboards that write them with Shift", () => {
    expect(press("&", "Digit1")).toBe("1");
    expect(press("é", "Digit2")).toBe("2");
    expect(press("1", "Digit1", true)).toBe("1");
    expect(press("!", "Digit1", true)).toBe("!");
    expect(press("1", "Numpad1")).toBe("1");
  });

  it("finds help and picker", () => {
    expect(press("?", "Slash", true)).toBe("?");
    expect(press("/", "Digit7", true)).toBe("/"); // German
    expect(press("؟", "Slash", true)).toBe("?");
    expect(press("Escape", "Escape")).toBe("escape");
  });
});

describe("what is shown on a key", () => {
  it("is what the keyboard writes with it, until a Latin one is used again", () => {
    press("ф", "KeyA");
    expect([keyCap("a"), keyCap("r")]).toEqual(["ф", "r"]);
    press("a", "KeyA");
    expect(keyCap("a")).toBe("a");
  });
});
