import { useSignal } from "@preact/signals";
import { createSecondReview, listSecondReviews, type SecondReview } from "../api/second";
import { may, person } from "../auth/session";
import { count, moment, plural } from "../domain/format";
import { href } from "../router";
import type { OpenProject } from "../state/project";
import { toast } from "../state/toasts";
import { ErrorNotice, Failure, Field, Loading, TextInput } from "../ui/parts";
import { numbers, Table } from "../ui/table";
import { useAction } from "../ui/use-action";
import { usePoll } from "../ui/use-poll";

const POLL_MS = 30_000;

/** Samples that another person labels again without seeing the first labels. */
export function SecondReviews({ open }: { open: OpenProject }) {
  const found = usePoll(
    () => listSecondReviews(open.name),
    () => POLL_MS,
    open.name,
  );
  const list = found.data.value;
  return (
    <section class="card stack" aria-labelledby="second-reviews">
      <h2 id="second-reviews">Second reviews</h2>
      <p class="hint">
        A second person labels a sample of labeled documents again, without seeing the first labels. Their
        agreement shows how reliable the labels are.
      </p>
      {found.error.value && <Failure message={found.error.value} onRetry={found.again} />}
      {!list && !found.error.value && <Loading what="the second reviews" />}
      {list?.length === 0 && <p class="hint">There are no second reviews yet.</p>}
      {!!list?.length && <Reviews project={open.name} list={list} />}
      {may("Projects.Write") && <StartForm open={open} onDone={found.again} />}
    </section>
  );
}

function Reviews({ project, list }: { project: string; list: readonly SecondReview[] }) {
  return (
    <Table
      label="Second reviews, table"
      caption="Second reviews, the newest first"
      columns={[
        { name: "Second person", class: "name" },
        ...numbers("Documents"),
        { name: "Started" },
        { name: "Open" },
      ]}
      rows={list.map((review) => ({
        key: review.id,
        cells: [
          <>
            <bdi>{review.reviewer}</bdi>
            {review.reviewer === person.value?.name && " (you)"}
          </>,
          count(review.documents),
          <>
            <time dateTime={review.createdDateTime}>{moment(review.createdDateTime)}</time> by{" "}
            <bdi>{review.by}</bdi>
          </>,
          <Open project={project} review={review} />,
        ],
      }))}
    />
  );
}

/** The second person labels; everyone else sees how far both agree. */
function Open({ project, review }: { project: string; review: SecondReview }) {
  return review.reviewer === person.value?.name ? (
    <a href={href(project, "review", { second: review.id })}>Label</a>
  ) : (
    <a
      href={href(project, "team", { second: review.id })}
      aria-label={`Agreement with ${review.reviewer}, ${moment(review.createdDateTime)}`}
    >
      Agreement
    </a>
  );
}

function StartForm({ open, onDone }: { open: OpenProject; onDone: () => void }) {
  const reviewer = useSignal("");
  const size = useSignal(50);
  const { busy, error, run } = useAction();
  const start = (event: Event): void => {
    event.preventDefault();
    const name = reviewer.value.trim();
    void run(async () => {
      const seed = Math.floor(Math.random() * 2 ** 31);
      const { documents } = await createSecondReview(open.name, { reviewer: name, size: size.value, seed });
      toast(`${name} can label ${plural(documents, "document")} a second time.`, "good");
      reviewer.value = "";
      onDone();
    });
  };
  return (
    <form class="stack" onSubmit={start} aria-labelledby="start-second">
      <h3 id="start-second">Start a second review</h3>
      <div class="form-grid">
        <Field
          label="Second person"
          hint="The name that the person signs in with. Documents that they labeled are left out."
        >
          <TextInput required signal={reviewer} />
        </Field>
        <Field label="Documents in the sample" hint="At most 500, chosen at random from those labeled.">
          <input
            type="number"
            min={1}
            max={500}
            required
            value={size.value}
            onInput={(e) => (size.value = Math.max(1, Number(e.currentTarget.value) || 1))}
          />
        </Field>
      </div>
      <ErrorNotice message={error.value} />
      <div class="actions start">
        <button type="submit" disabled={busy.value || !reviewer.value.trim()}>
          {busy.value ? "Starting…" : "Start"}
        </button>
      </div>
    </form>
  );
}
