/** Markdown shown as elements of the page: never as HTML of its own. */

import type { ComponentChildren, VNode } from "preact";
import { useMemo } from "preact/hooks";
import { parseMarkdown, type Block, type Inline } from "../domain/markdown";
import { TableScroll } from "./parts";

/** `level`: of the headings of the text; those of the page stay above it. */
export function Markdown({ text, level = 3 }: { text: string; level?: number }) {
  const parsed = useMemo(() => parseMarkdown(text), [text]);
  return (
    <div class="markdown" dir="auto">
      {topLevel(parsed, level)}
    </div>
  );
}

/** Headings in order, whatever levels the author left out: people who hear the page find their way by them. */
function topLevel(blocks: readonly Block[], level: number): VNode[] {
  let last = level - 1;
  return blocks.map((block, index) => {
    if (block.is !== "heading") return <BlockView key={index} block={block} />;
    last = Math.min(6, last + 1, level + block.level - 1);
    return (
      <Heading key={index} level={last}>
        {inlineOf(block.children)}
      </Heading>
    );
  });
}

const blocksOf = (blocks: readonly Block[]): VNode[] =>
  blocks.map((block, index) => <BlockView key={index} block={block} />);

function BlockView({ block }: { block: Block }) {
  switch (block.is) {
    case "heading":
      return (
        <p>
          <strong>{inlineOf(block.children)}</strong>
        </p>
      );
    case "paragraph":
      return <p>{inlineOf(block.children)}</p>;
    case "code":
      return (
        <pre tabIndex={0}>
          <code>{block.text}</code>
        </pre>
      );
    case "quote":
      return <blockquote>{blocksOf(block.children)}</blockquote>;
    case "list": {
      const items = block.items.map((item, index) => <li key={index}>{itemOf(item)}</li>);
      return block.start === null ? <ul>{items}</ul> : <ol start={block.start}>{items}</ol>;
    }
    case "table":
      return <Table head={block.head} rows={block.rows} />;
    case "rule":
      return <hr />;
  }
}

function Heading({ level, children }: { level: number; children: ComponentChildren }) {
  const Tag = `h${level}` as "h3";
  return <Tag>{children}</Tag>;
}

/** The one paragraph of a short item needs no element of its own. */
function itemOf(item: readonly Block[]): ComponentChildren {
  const [first, ...rest] = item;
  if (first?.is !== "paragraph") return blocksOf(item);
  return [<>{inlineOf(first.children)}</>, ...blocksOf(rest)];
}

function Table({ head, rows }: { head: readonly Inline[][]; rows: readonly Inline[][][] }) {
  return (
    <TableScroll role="group" label="Table">
      <table>
        <thead>
          <tr>
            {head.map((cell, index) => (
              <th key={index} scope="col">
                {inlineOf(cell)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, index) => (
            <tr key={index}>
              {head.map((_, column) => (
                <td key={column}>{inlineOf(row[column] ?? [])}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </TableScroll>
  );
}

const inlineOf = (parts: readonly Inline[]): VNode[] =>
  parts.map((part, index) => <InlineView key={index} part={part} />);

function InlineView({ part }: { part: Inline }) {
  switch (part.is) {
    case "text":
      return <>{part.text}</>;
    case "code":
      return <code>{part.text}</code>;
    case "strong":
      return <strong>{inlineOf(part.children)}</strong>;
    case "emphasis":
      return <em>{inlineOf(part.children)}</em>;
    case "strike":
      return <s>{inlineOf(part.children)}</s>;
    case "link":
      return (
        <a href={part.href} target="_blank" rel="noopener noreferrer">
          {inlineOf(part.children)}
        </a>
      );
    case "break":
      return <br />;
  }
}
