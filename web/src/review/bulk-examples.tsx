/** Ten of the suggestions that a bulk decision would take, chosen at random. */

import { getText, listDocuments, searchDocuments } from "../api/client";
import type { BulkRequest, DocumentItem, Suggestion } from "../api/types";
import { percent } from "../domain/format";
import { apiQuery, FLAGGED } from "../state/filters";
import type { Review } from "../state/review";
import { CategoryName } from "../ui/category";

const SHOWN = 10;
/** Documents that the examples are chosen from: the first by id, which is random with regard to the content. */
const CHOSEN_FROM = 1_000;
/** Documents that are read to find ten entities with the text that is asked for. */
const READ = 30;
/** What the search of the server takes and gives at most. */
const MOST_SEARCHED_FOR = 200;
const MOST_FOUND = 100;

export interface Example {
  document: DocumentItem;
  suggestion: Suggestion;
  /** The text of the entity, or the first words of the document. */
  words: string;
}

interface ExamplesProps {
  review: Review;
  examples: readonly Example[];
  all: boolean;
}

export function Examples({ review, examples, all }: ExamplesProps) {
  return (
    <section aria-labelledby="bulk-examples">
      <h3 id="bulk-examples">{all ? "These" : `${examples.length} of them, chosen at random`}</h3>
      <ul class="examples" role="list" aria-labelledby="bulk-examples" tabIndex={0}>
        {examples.map(({ document, suggestion, words }) => (
          <li key={`${document.id} ${suggestion.id}`}>
            <span class="example-name" title={document.location}>
              <bdi>{document.location}</bdi>
            </span>
            <span class="example-name" title={words}>
              <bdi>{words}</bdi>
            </span>
            <CategoryName name={suggestion.category} hue={review.open.hues.value.get(suggestion.category)} />
            <span class="number">{percent(suggestion.confidence)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** Up to ten suggestions that the decision would take, at random, each of another document where there are enough. */
export async function examplesOf(
  project: string,
  request: BulkRequest,
  entities: boolean,
): Promise<Example[]> {
  const { minConfidence = 0, maxConfidence = 1, categories, jobId, text } = request;
  const found = shuffled(await documentsOf(project, request)).map((document) =>
    shuffled(document.suggestions)
      .filter((s) => s.confidence >= minConfidence && s.confidence <= maxConfidence)
      .filter((s) => !categories || categories.includes(s.category))
      .filter((s) => !jobId || !s.jobId || s.jobId === jobId)
      .filter((s) => text === undefined || s.length === text.length)
      .map((suggestion) => ({ document, suggestion, words: document.excerpt ?? "" })),
  );
  const all = text === undefined ? found : await withText(project, found.slice(0, READ), text);
  const firsts = all.flatMap((examples) => examples.slice(0, 1));
  const others = all.flatMap((examples) => examples.slice(1));
  const examples = [...firsts, ...others].slice(0, SHOWN);
  return entities && text === undefined ? withWords(project, examples) : examples;
}

/** Of the examples of each document, those whose entity has this text. */
function withText(project: string, found: readonly Example[][], text: string): Promise<Example[][]> {
  return Promise.all(
    found.map(async (examples) => (await withWords(project, examples)).filter(({ words }) => words === text)),
  );
}

/** The first documents that may have such a suggestion. */
async function documentsOf(project: string, request: BulkRequest): Promise<DocumentItem[]> {
  const query = apiQuery({
    status: request.flagged ? FLAGGED : "autoLabeled",
    category: request.categories?.[0] ?? "",
    jobId: request.jobId ?? "",
    prefix: request.locationPrefix ?? "",
    assigned: request.assignedTo ?? "",
    dataset: request.dataset ?? "",
    search: "",
    second: "",
    model: "",
    expected: "",
    predicted: "",
    order: "id",
    min: request.minConfidence ?? 0,
    max: request.maxConfidence ?? 1,
  });
  if (request.text === undefined) return (await listDocuments(project, { ...query, top: CHOSEN_FROM })).value;
  const text = request.text.slice(0, MOST_SEARCHED_FOR);
  const found = await searchDocuments(project, { ...query, text, top: MOST_FOUND });
  return found.value.map((match) => match.document);
}

/** With the text of each entity, as the documents have it now. */
async function withWords(project: string, examples: readonly Example[]): Promise<Example[]> {
  const texts = new Map<string, Promise<string>>();
  for (const { document } of examples)
    if (!texts.has(document.id))
      texts.set(
        document.id,
        getText(project, document.id).catch(() => ""),
      );
  return Promise.all(
    examples.map(async (example) => {
      const { offset = 0, length = 0 } = example.suggestion;
      const words = (await texts.get(example.document.id)!).slice(offset, offset + length);
      return { ...example, words };
    }),
  );
}

function shuffled<T>(items: readonly T[]): T[] {
  const result = [...items];
  for (let i = result.length - 1; i > 0; i--) {
    const other = Math.floor(Math.random() * (i + 1));
    [result[i], result[other]] = [result[other]!, result[i]!];
  }
  return result;
}
