import { Component, Fragment, type ComponentChild, type VNode } from "preact";
import { describe, expect, it, vi } from "vitest";
import type { TextSpan } from "../src/review/document-text";
import type { Review } from "../src/state/review";
import { document } from "./documents";

vi.mock("preact/hooks", () => ({
  useMemo: (make: () => unknown) => make(),
  useRef: () => ({ current: null }),
  useEffect: () => undefined,
  useLayoutEffect: () => undefined,
}));
vi.mock("@preact/signals", async (original) => {
  const real = await original<typeof import("@preact/signals")>();
  return { ...real, useSignal: real.signal };
});
const { DocumentText, MarkedText, tagOf } = await import("../src/review/document-text");

/** The first rendering: its text, with each mark in brackets. */
function rendered(node: ComponentChild | ComponentChild[]): string {
  if (Array.isArray(node)) return node.map(rendered).join("");
  if (node === null || typeof node !== "object") return typeof node === "string" ? node : "";
  const { type, props } = node as VNode<{ children?: ComponentChild[] }>;
  if (typeof type === "string") {
    const inside = rendered(props.children ?? null);
    return type === "mark" ? `[${inside}]` : inside;
  }
  if (type === Fragment) return rendered(props.children ?? null);
  if (type.prototype instanceof Component) {
    const component = new (type as new (props: object) => Component)(props);
    return rendered(component.render(props) as ComponentChild);
  }
  return rendered((type as (props: object) => ComponentChild)(props));
}

/** 20,000 characters with an entity at every 40th, in lines of `line` characters. */
function long(line: number): { text: string; spans: TextSpan[] } {
  const spans = Array.from({ length: 500 }, (_, n): TextSpan => ({
    key: `${n}`,
    kind: "suggestion",
    category: "City",
    hue: 1,
    confidence: 0.5,
    offset: 40 * n,
    length: 4,
  }));
  const text = spans.map(({ offset }, n) => {
    const words = `Oslo ${String(n).padStart(34)}`;
    return words + ((offset + 40) % line ? " " : "\n");
  });
  return { text: text.join(""), spans };
}

/** The numbers of the entities that have their mark. */
const marked = (text: string): number[] => [...text.matchAll(/\[Oslo\] +(\d+)/g)].map(([, n]) => Number(n));

describe("the category beside a mark", () => {
  it("is cut between characters", () => {
    expect(["😀".repeat(24), "😀".repeat(25)].map((category) => tagOf({ category }))).toEqual([
      "😀".repeat(24),
      `${"😀".repeat(23)}…`,
    ]);
  });
});

describe("a long text", () => {
  const near = { from: 10_000, reach: 1_500 };

  it.each([800, 20_000])("has the marks around one place first, in lines of %i characters", (line) => {
    const { text, spans } = long(line);
    const first = rendered(<MarkedText text={text} spans={spans} near={near} />);
    expect(first.replaceAll(/[[\]]/g, "")).toBe(text);
    const least = spans.flatMap(({ offset }, n) => (Math.abs(offset - near.from) < near.reach ? [n] : []));
    expect(marked(first)).toEqual(expect.arrayContaining(least));
    expect(marked(first).length).toBeLessThan(spans.length / 4);
  });

  it("is opened with the marks around what is pointed at, or found", () => {
    const { text, spans } = long(800);
    const opened = (found: object[]): string => {
      const review = {
        kind: "CustomEntityRecognition",
        current: { value: { document: document("d"), text } },
        derived: { value: null },
        waiting: { value: spans.map(({ key, ...span }) => ({ ...span, id: key })) },
        labeling: { latest: { value: null } },
        cursor: { value: "250" },
        listOpen: { value: false },
        open: { hues: { value: new Map() } },
        found: { value: found },
        foundAt: { value: 0 },
      };
      return rendered(<DocumentText review={review as unknown as Review} />);
    };
    for (const [found, at] of [
      [[], 250],
      [[{ offset: 0, length: 4 }], 0],
    ] as const) {
      const numbers = marked(opened([...found]));
      expect(numbers).toContain(at);
      expect(numbers.length).toBeLessThan(spans.length / 4);
    }
  });

  it("has all of its marks in the end", () => {
    const { text, spans } = long(800);
    const all = rendered(<MarkedText text={text} spans={spans} />);
    expect(marked(all)).toEqual(spans.map(({ key }) => Number(key)));
  });
});
