/** What came of a second review: how far two people agree, and what becomes of the documents where they do not. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { getDocument, getText } from "../api/client";
import {
  getAgreement,
  listDisagreements,
  listSecondReviews,
  reopen,
  resolve,
  type Agreement,
  type CategoryAgreement,
  type Disagreement,
} from "../api/second";
import type { DocumentItem } from "../api/types";
import { may } from "../auth/session";
import { count, moment, plural, score, visible } from "../domain/format";
import { entitiesOf, isEntities, readLabels, sameLabels, writeLabels, type Labels } from "../domain/labels";
import { DifferenceList } from "../review/differences";
import { href } from "../router";
import type { OpenProject } from "../state/project";
import { toast } from "../state/toasts";
import { CategoryName } from "../ui/category";
import { ErrorNotice, Failure, Loading } from "../ui/parts";
import { numbers, Table } from "../ui/table";
import { useAction } from "../ui/use-action";
import { usePoll } from "../ui/use-poll";

const SHOWN = 20;

interface Props {
  open: OpenProject;
  review: string;
}

export function AgreementView({ open, review }: Props) {
  const found = usePoll(
    async () => {
      const [agreement, reviews] = await Promise.all([
        getAgreement(open.name, review),
        listSecondReviews(open.name).catch(() => []), // only a name: the agreement is shown without it
      ]);
      return { agreement, second: reviews.find(({ id }) => id === review)?.reviewer ?? "" };
    },
    () => null,
    review,
  );
  const { agreement, second = "" } = found.data.value ?? {};
  return (
    <>
      <p>
        <a href={href(open.name, "team")}>Team</a>
      </p>
      <h1>
        Agreement{second && " with "}
        <bdi>{second}</bdi>
      </h1>
      {found.error.value && <Failure message={found.error.value} onRetry={found.again} />}
      {!agreement && !found.error.value && <Loading what="the agreement" />}
      {agreement && <Figures open={open} agreement={agreement} />}
      {agreement && <Disagreements open={open} review={review} second={second} onChange={found.again} />}
    </>
  );
}

const figure = (value: number | null): string => (value === null ? "not defined" : score(value));

function Figures({ open, agreement }: { open: OpenProject; agreement: Agreement }) {
  const entities = isEntities(open.kind.value);
  const figures = [
    [entities ? "F1 of spans" : "Cohen’s kappa", figure(entities ? agreement.f1 : agreement.kappa)],
    ["Labeled by both", count(agreement.documents)],
    ["The same labels", count(agreement.agreed)],
    ["Different labels", count(agreement.disagreements)],
    ["Resolved", count(agreement.resolved)],
  ] as const;
  return (
    <section class="card stack" aria-labelledby="agreement">
      <h2 id="agreement">Agreement</h2>
      <p class="hint">
        {entities
          ? "An entity agrees when both labeled exactly the same span with the same category. 1: everywhere."
          : "Cohen’s kappa corrects for chance: 1 is full agreement, 0 is chance level."}
      </p>
      <dl class="figures">
        {figures.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {!!agreement.categories.length && <ByCategory entities={entities} rows={agreement.categories} />}
    </section>
  );
}

function ByCategory({ entities, rows }: { entities: boolean; rows: readonly CategoryAgreement[] }) {
  const heads = [entities ? "F1" : "Kappa", "First", "Second", "Both"];
  return (
    <Table
      label="Agreement by category"
      caption="How often each person gave a category, and both together"
      columns={[{ name: "Category", class: "name" }, ...numbers(...heads)]}
      rows={rows.map((row) => ({
        key: row.category,
        cells: [
          <bdi>{visible(row.category)}</bdi>,
          figure(entities ? row.f1 : row.kappa),
          ...[row.first, row.second, row.both].map(count),
        ],
      }))}
    />
  );
}

interface DisagreementsProps extends Props {
  /** The name of the second person. */
  second: string;
  onChange: () => void;
}

function Disagreements({ open, review, second, onChange }: DisagreementsProps) {
  const rows = useSignal<readonly Disagreement[]>([]);
  const token = useSignal<string | undefined>(undefined);
  const read = useSignal(false);
  const { busy, error, run } = useAction();
  const more = (): void =>
    void run(async () => {
      const next = token.value;
      const page = await listDisagreements(open.name, review, {
        top: SHOWN,
        ...(next ? { continuationToken: next } : {}),
      });
      rows.value = [...rows.value, ...page.value];
      token.value = page.continuationToken;
      read.value = true;
    });
  useEffect(more, [review]);
  const changed = (after: Disagreement): void => {
    rows.value = rows.value.map((row) => (row.documentId === after.documentId ? after : row));
    onChange();
  };
  return (
    <section class="card stack" aria-labelledby="disagreements">
      <h2 id="disagreements">Disagreements</h2>
      {!read.value && !error.value && <Loading what="the disagreements" />}
      <ErrorNotice message={error.value} />
      {read.value && !rows.value.length && (
        <p class="hint">The two people agree on every document that both labeled.</p>
      )}
      {rows.value.map((disagreement) => (
        <DisagreementCard
          key={disagreement.documentId}
          open={open}
          review={review}
          secondBy={second}
          disagreement={disagreement}
          onChange={changed}
        />
      ))}
      {token.value && (
        <div class="actions start">
          <button type="button" disabled={busy.value} onClick={more}>
            Show more
          </button>
        </div>
      )}
    </section>
  );
}

interface DisagreementProps extends Props {
  secondBy: string;
  disagreement: Disagreement;
  onChange: (after: Disagreement) => void;
}

function DisagreementCard({ open, review, secondBy, disagreement, onChange }: DisagreementProps) {
  const kind = open.kind.value;
  const text = useSignal<string | null>(null);
  const now = useSignal<DocumentItem | null>(null);
  const { busy, error, run } = useAction();
  const [first, second] = [readLabels(disagreement.first, kind), readLabels(disagreement.second, kind)];
  useEffect(() => {
    getText(open.name, disagreement.documentId).then(
      (found) => (text.value = found),
      () => (text.value = ""),
    );
    getDocument(open.name, disagreement.documentId).then(
      (found) => (now.value = found),
      () => undefined,
    );
  }, []);
  const current = now.value && readLabels(now.value, kind);
  const another = current && !sameLabels(current, first) && !sameLabels(current, second) ? current : null;
  const end = disagreement.resolution;
  const choose = (body: Parameters<typeof resolve>[3], labels: Labels | null): void =>
    void run(async () => {
      // The newest version: what it says is shown beside the buttons.
      const document = await getDocument(open.name, disagreement.documentId);
      now.value = await resolve(open.name, review, document, body);
      const by = { by: "you", dateTime: new Date().toISOString(), labels: writeLabels(labels, kind) };
      onChange({ ...disagreement, resolution: by });
      toast(`“${disagreement.location}” is resolved.`, "good");
    });
  const undo = (): void =>
    void run(async () => {
      now.value = await reopen(open.name, review, disagreement.documentId);
      const { resolution: _, ...rest } = disagreement;
      onChange(rest);
      toast("The resolution was undone.", "good");
    });
  return (
    <article class="disagreement stack" aria-label={disagreement.location}>
      <h3>
        <a href={href(open.name, "label", { doc: disagreement.documentId })}>
          <bdi>{disagreement.location}</bdi>
        </a>
      </h3>
      <dl class="two-labels">
        <Side
          open={open}
          name={disagreement.firstBy ? `First: ${disagreement.firstBy}` : "First"}
          labels={first}
        />
        <Side open={open} name={secondBy ? `Second: ${secondBy}` : "Second"} labels={second} />
        {end && (
          <Side
            open={open}
            name={`Resolved by ${end.by}, ${moment(end.dateTime)}`}
            labels={readLabels(end.labels, kind)}
          />
        )}
      </dl>
      {isEntities(kind) ? (
        <DifferenceList
          hues={open.hues.value}
          sides={["Only first", "Only second"]}
          mine={first}
          theirs={second}
          text={text.value}
        />
      ) : (
        <p
          class="disagreement-text"
          dir="auto"
          tabIndex={0}
          role="region"
          aria-label={`Text of ${disagreement.location}`}
        >
          {text.value ?? "Loading the text…"}
        </p>
      )}
      <ErrorNotice message={error.value} />
      {may("Projects.Write") && (
        <div class="actions start">
          {end ? (
            <button type="button" disabled={busy.value} onClick={undo}>
              Undo the resolution
            </button>
          ) : (
            <>
              <button type="button" disabled={busy.value} onClick={() => choose({ choice: "first" }, first)}>
                Use the first labels
              </button>
              <button
                type="button"
                disabled={busy.value}
                onClick={() => choose({ choice: "second" }, second)}
              >
                Use the second labels
              </button>
              {another && (
                <button
                  type="button"
                  disabled={busy.value}
                  onClick={() => choose({ labels: writeLabels(another, kind) }, another)}
                >
                  Keep the labels it has now
                </button>
              )}
            </>
          )}
        </div>
      )}
    </article>
  );
}

function Side({ open, name, labels }: { open: OpenProject; name: string; labels: Labels | null }) {
  const entities = entitiesOf(labels);
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {labels?.categories.map((category) => (
          <CategoryName key={category} name={category} hue={open.hues.value.get(category)} />
        ))}
        {entities.length > 0 && plural(entities.length, "entity", "entities")}
        {!labels?.categories.length && !entities.length && "No label applies"}
      </dd>
    </div>
  );
}
