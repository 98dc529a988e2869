/**
 * Markdown as a tree: what labeling guidelines need, and nothing that the page would have to trust. HTML is text,
 * pictures are links, and a link goes to http, https or mailto alone. A mark that is never closed is sought once.
 */

export type Inline =
  | { readonly is: "text" | "code"; readonly text: string }
  | { readonly is: "strong" | "emphasis" | "strike"; readonly children: readonly Inline[] }
  | { readonly is: "link"; readonly href: string; readonly children: readonly Inline[] }
  | { readonly is: "break" };

export type Block =
  | { readonly is: "heading"; readonly level: number; readonly children: readonly Inline[] }
  | { readonly is: "paragraph"; readonly children: readonly Inline[] }
  | { readonly is: "code"; readonly text: string }
  | { readonly is: "quote"; readonly children: readonly Block[] }
  | { readonly is: "list"; readonly start: number | null; readonly items: readonly (readonly Block[])[] }
  | { readonly is: "table"; readonly head: readonly Inline[][]; readonly rows: readonly Inline[][][] }
  | { readonly is: "rule" };

/** Quotes and lists inside each other, and marks inside each other, are followed so far; deeper ones are text. */
const DEEPEST = 8;

const HEADING = /^ {0,3}(#{1,6})(?:[ \t]+(.*))?$/;
const RULE = /^ {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const FENCE = /^ {0,3}(`{3,}|~{3,})/;
const QUOTE = /^ {0,3}> ?(.*)$/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])(?:[ \t]+(.*))?$/;
const TABLE_LINE = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;

export function parseMarkdown(text: string): Block[] {
  return blocks(text.replace(/\r\n?/g, "\n").replace(/\t/g, "    ").split("\n"), 0);
}

function blocks(lines: readonly string[], depth: number): Block[] {
  const found: Block[] = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at]!;
    const heading = HEADING.exec(line);
    const fence = FENCE.exec(line);
    if (!line.trim()) at++;
    else if (heading) {
      const content = (heading[2] ?? "").trim().replace(/(?:^|\s)#+$/, "");
      found.push({ is: "heading", level: heading[1]!.length, children: inline(content) });
      at++;
    } else if (RULE.test(line)) {
      found.push({ is: "rule" });
      at++;
    } else if (fence) {
      const end = closing(lines, at + 1, fence[1]!);
      found.push({ is: "code", text: lines.slice(at + 1, end).join("\n") });
      at = end + 1;
    } else if (depth < DEEPEST && QUOTE.test(line)) {
      const end = whileIs(lines, at, (line) => QUOTE.test(line));
      const inner = lines.slice(at, end).map((line) => QUOTE.exec(line)![1]!);
      found.push({ is: "quote", children: blocks(inner, depth + 1) });
      at = end;
    } else if (depth < DEEPEST && ITEM.test(line)) {
      const [list, end] = listAt(lines, at, depth);
      found.push(list);
      at = end;
    } else if (line.includes("|") && TABLE_LINE.test(lines[at + 1] ?? "")) {
      const end = whileIs(lines, at + 2, (line) => line.includes("|"));
      const rows = lines.slice(at + 2, end).map(cells);
      found.push({ is: "table", head: cells(line), rows });
      at = end;
    } else {
      const end = whileIs(lines, at + 1, (line) => !!line.trim() && !beginsBlock(line));
      const inner = lines.slice(at, end).map((line) => line.trimStart());
      found.push({ is: "paragraph", children: inline(inner.join("\n").trimEnd()) });
      at = end;
    }
  }
  return found;
}

const beginsBlock = (line: string): boolean =>
  HEADING.test(line) || RULE.test(line) || FENCE.test(line) || QUOTE.test(line) || ITEM.test(line);

function whileIs(lines: readonly string[], from: number, holds: (line: string) => boolean): number {
  let at = from;
  while (at < lines.length && holds(lines[at]!)) at++;
  return at;
}

function closing(lines: readonly string[], from: number, fence: string): number {
  return whileIs(lines, from, (line) => {
    const text = line.trim();
    return text.length < fence.length || [...text].some((character) => character !== fence[0]);
  });
}

function listAt(lines: readonly string[], from: number, depth: number): [Block, number] {
  const first = ITEM.exec(lines[from]!)!;
  const kind = (marker: string): string => (/\d/.test(marker) ? marker.at(-1)! : marker);
  const items: Block[][] = [];
  let at = from;
  for (;;) {
    const item = at < lines.length ? ITEM.exec(lines[at]!) : null;
    if (!item || kind(item[2]!) !== kind(first[2]!) || RULE.test(lines[at]!)) break;
    const indent = item[1]!.length + item[2]!.length + 1;
    const inner = [item[3] ?? ""];
    for (at++; at < lines.length; at++) {
      const line = lines[at]!;
      const indented = line.startsWith(" ".repeat(indent));
      if (indented) inner.push(line.slice(indent));
      else if (!line.trim() && (lines[at + 1] ?? "").startsWith(" ".repeat(indent))) inner.push("");
      else if (line.trim() && !beginsBlock(line) && inner.at(-1)!.trim()) inner.push(line.trimStart());
      else break;
    }
    items.push(blocks(inner, depth + 1));
    const next = whileIs(lines, at, (line) => !line.trim());
    if (next < lines.length && ITEM.test(lines[next]!)) at = next;
  }
  const start = /\d/.test(first[2]!) ? Number.parseInt(first[2]!, 10) : null;
  return [{ is: "list", start, items }, at];
}

function cells(line: string): Inline[][] {
  const text = line.trim().replace(/^\|/, "").replace(/\|$/, "");
  return text.split("|").map((cell) => inline(cell.trim()));
}

/** Where marks of each kind end; a mark that is never closed is text. */
const MARKS = [
  ["**", "strong"],
  ["__", "strong"],
  ["~~", "strike"],
  ["*", "emphasis"],
  ["_", "emphasis"],
] as const;
const ESCAPED = /[!-/:-@[-`{-~]/;
const WORD = /[\p{L}\p{N}]/u;
const ADDRESS = /^(?:https?:\/\/|mailto:)[^\s<>"]+/i;

function inline(text: string, depth = 0): Inline[] {
  const found: Inline[] = [];
  let plain = "";
  let at = 0;
  /** Marks without an end in the rest of the text, which need not be looked for again. */
  const open = new Set<string>();
  const flush = (): void => {
    if (plain) found.push({ is: "text", text: plain });
    plain = "";
  };
  const put = (part: Inline, end: number): void => {
    flush();
    found.push(part);
    at = end;
  };
  while (at < text.length) {
    const character = text[at]!;
    if (character === "\\" && ESCAPED.test(text[at + 1] ?? "")) {
      plain += text[at + 1];
      at += 2;
      continue;
    }
    if (character === "\n") {
      const hard = /(?: {2,}|\\)$/.test(plain);
      plain = plain.replace(/(?: +|\\)$/, "");
      if (hard) put({ is: "break" }, at + 1);
      else {
        plain += "\n";
        at++;
      }
      continue;
    }
    const part = depth < DEEPEST ? special(text, at, depth, open) : null;
    if (part) put(...part);
    else {
      plain += character;
      at++;
    }
  }
  flush();
  return found;
}

/** What begins here that is not plain text, and where it ends. */
function special(text: string, at: number, depth: number, open: Set<string>): [Inline, number] | null {
  const character = text[at]!;
  if (character === "`") return code(text, at, open);
  if (character === "[" || (character === "!" && text[at + 1] === "[")) return link(text, at, depth, open);
  if (character === "<") {
    const address = ADDRESS.exec(text.slice(at + 1, at + 2_000))?.[0];
    const end = at + 1 + (address?.length ?? 0);
    if (address && text[end] === ">") return [linkTo(address, [{ is: "text", text: address }]), end + 1];
  }
  if ((character === "h" || character === "H") && !WORD.test(text[at - 1] ?? "")) {
    const address = ADDRESS.exec(text.slice(at, at + 2_000))?.[0].replace(/[.,:;!?'")\]*_]+$/, "");
    if (address) return [linkTo(address, [{ is: "text", text: address }]), at + address.length];
  }
  for (const [mark, is] of MARKS) {
    if (!text.startsWith(mark, at) || open.has(mark)) continue;
    const end = endOf(text, at, mark);
    if (end < 0) open.add(mark);
    else if (end > 0)
      return [{ is, children: inline(text.slice(at + mark.length, end), depth + 1) }, end + mark.length];
  }
  return null;
}

/** Where a mark ends: 0 when none can begin here, -1 when none ends in the rest of the text. */
function endOf(text: string, at: number, mark: string): number {
  const from = at + mark.length;
  if (/\s/.test(text[from] ?? " ")) return 0;
  if (mark.includes("_") && WORD.test(text[at - 1] ?? "")) return 0;
  for (let end = text.indexOf(mark, from + 1); end >= 0; end = text.indexOf(mark, end + 1)) {
    const double = mark.length === 1 && (text[end + 1] === mark || text[end - 1] === mark);
    const inWord = mark.includes("_") && WORD.test(text[end + mark.length] ?? "");
    if (!double && !inWord && !/[\s\\]/.test(text[end - 1]!)) return end;
  }
  return -1;
}

function code(text: string, at: number, open: Set<string>): [Inline, number] | null {
  let size = 1;
  while (text[at + size] === "`") size++;
  const fence = "`".repeat(size);
  if (open.has(fence)) return null;
  for (let end = text.indexOf(fence, at + size); end >= 0; end = text.indexOf(fence, end + size)) {
    if (text[end + size] === "`" || text[end - 1] === "`") continue;
    return [{ is: "code", text: text.slice(at + size, end).trim() }, end + size];
  }
  open.add(fence);
  return null;
}

const LONGEST_LINK = 4_000;

function link(text: string, at: number, depth: number, open: Set<string>): [Inline, number] | null {
  if (open.has("](")) return null;
  const from = at + (text[at] === "!" ? 2 : 1);
  const middle = text.indexOf("](", from);
  if (middle < 0) {
    open.add("](");
    return null;
  }
  const label = text.slice(from, middle);
  if (label.length > LONGEST_LINK || label.includes("[")) return null;
  const end = text.indexOf(")", middle);
  if (end < 0 || end - middle > LONGEST_LINK) return null;
  const [target = ""] = text
    .slice(middle + 2, end)
    .trim()
    .split(/\s/);
  const address = target.replace(/^<|>$/g, "");
  if (ADDRESS.exec(address)?.[0] !== address) return null;
  const children = inline(label, Math.max(depth + 1, DEEPEST - 2));
  return [linkTo(address, children.length ? children : [{ is: "text", text: address }]), end + 1];
}

const linkTo = (href: string, children: readonly Inline[]): Inline => ({ is: "link", href, children });
