import { describe, expect, it } from "vitest";
import { parseMarkdown, type Block, type Inline } from "../src/domain/markdown";

/** The tree as short text: `p(a *b*)`. */
const inline = (parts: readonly Inline[]): string =>
  parts
    .map((part) => {
      if (part.is === "break") return "<br>";
      if ("text" in part) return part.is === "text" ? part.text : `code(${part.text})`;
      const inner = inline(part.children);
      return part.is === "link" ? `link(${part.href}|${inner})` : `${part.is}(${inner})`;
    })
    .join("");
const block = (node: Block): string => {
  switch (node.is) {
    case "heading":
      return `h${node.level}(${inline(node.children)})`;
    case "paragraph":
      return `p(${inline(node.children)})`;
    case "code":
      return `pre(${node.text})`;
    case "quote":
      return `quote(${node.children.map(block).join(" ")})`;
    case "list":
      return `${node.start ?? "list"}[${node.items.map((item) => item.map(block).join(" ")).join("; ")}]`;
    case "table":
      return `table[${[node.head, ...node.rows].map((row) => row.map(inline).join(",")).join("; ")}]`;
    case "rule":
      return "rule";
  }
};
const shown = (text: string): string => parseMarkdown(text).map(block).join(" ");

describe("markdown", () => {
  it.each([
    ["# Title\ntext", "h1(Title) p(text)"],
    ["## Title ##", "h2(Title)"],
    ["#tag", "p(#tag)"],
    ["a\nb\n\nc", "p(a\nb) p(c)"],
    ["a  \nb\\\nc", "p(a<br>b<br>c)"],
    ["**a** __b__ *c* _d_ ~~e~~ `f`", "p(strong(a) strong(b) emphasis(c) emphasis(d) strike(e) code(f))"],
    ["**a *b* c**", "p(strong(a emphasis(b) c))"],
    ["2 * 3 * 4 and snake_case_name", "p(2 * 3 * 4 and snake_case_name)"],
    ["\\*a\\* **open", "p(*a* **open)"],
    ["- a\n- b\n  more\n  - c", "list[p(a); p(b\nmore) list[p(c)]]"],
    ["3. a\n4. b", "3[p(a); p(b)]"],
    ["- a\n\n- b\n\ntext", "list[p(a); p(b)] p(text)"],
    ["> a\n> - b", "quote(p(a) list[p(b)])"],
    ["```js\n<b>*a*</b>\n```\nb", "pre(<b>*a*</b>) p(b)"],
    ["```\nnever closed", "pre(never closed)"],
    ["a | b\n--|--\n1 | **2**\n\nc", "table[a,b; 1,strong(2)] p(c)"],
    ["---\n***", "rule rule"],
    ["[a *b*](https://x.example/y?z=1)", "p(link(https://x.example/y?z=1|a emphasis(b)))"],
    [
      "See https://x.example/a_b, and <mailto:a@x.example>.",
      "p(See link(https://x.example/a_b|https://x.example/a_b), and link(mailto:a@x.example|mailto:a@x.example).)",
    ],
    ["![picture](https://x.example/p.png)", "p(link(https://x.example/p.png|picture))"],
    ["مرحبا *بك*", "p(مرحبا emphasis(بك))"],
    ["", ""],
  ])("reads %j", (text, expected) => {
    expect(shown(text)).toBe(expected);
  });

  it.each([
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[a](javascript:alert(1))",
    "[a]( JaVaScRiPt:alert(1))",
    "[a](data:text/html,x)",
    "[a](//x.example)",
    "[a](/studio/)",
    "[a](vbscript:x)",
    "<javascript:alert(1)>",
  ])("leaves %j as text", (text) => {
    expect(shown(text)).toBe(`p(${text})`);
  });

  it("ends an address where an attribute could begin", () => {
    expect(shown('https://x.example/"onclick="x')).toBe(
      'p(link(https://x.example/|https://x.example/)"onclick="x)',
    );
  });

  it.each([
    "*",
    "_",
    "**",
    "[",
    "[a](",
    "`",
    "> ",
    "- ",
    "<",
    "~~a",
    "|",
    "#",
    "\\",
    "http://",
    "![",
    "**a*",
  ])("reads 50,000 characters of %j", (part) => {
    expect(parseMarkdown(part.repeat(50_000 / part.length)).length).toBeGreaterThan(0);
    expect(parseMarkdown(`${part}a `.repeat(10_000)).length).toBeGreaterThan(0);
  });
});
