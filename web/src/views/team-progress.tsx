import { useSignal } from "@preact/signals";
import { readProgress, type Work } from "../api/team";
import { count } from "../domain/format";
import { byPerson, dayBefore, dayName, type Totals } from "../domain/work";
import { Bar, Failure, Field, Loading } from "../ui/parts";
import { numbers, Table, type Column } from "../ui/table";
import { usePoll } from "../ui/use-poll";

const PERIODS = [7, 30, 90];
const POLL_MS = 30_000;

/** Who changed the labels of how many documents, in sum and by day. */
export function ProgressOfTeam({ project }: { project: string }) {
  const days = useSignal(30);
  const period = days.value;
  const work = usePoll(
    async () => ({ period, days: await readProgress(project, dayBefore(period)) }),
    () => POLL_MS,
    `${project} ${period}`,
  );
  const found = work.data.value?.period === period ? work.data.value.days : null;
  return (
    <section class="card stack" aria-labelledby="progress">
      <h2 id="progress">Progress</h2>
      <p class="hint">
        Each document counts once per person and day. Bulk decisions are counted separately. Days are in UTC.
      </p>
      <div class="short-field">
        <Field label="Period">
          <select value={period} onChange={(e) => (days.value = Number(e.currentTarget.value))}>
            {PERIODS.map((days) => (
              <option key={days} value={days}>
                Last {days} days
              </option>
            ))}
          </select>
        </Field>
      </div>
      {work.error.value && <Failure message={work.error.value} onRetry={work.again} />}
      {!found && !work.error.value && <Loading what="the progress" />}
      {found?.length === 0 && <p class="hint">No labels were changed on these days.</p>}
      {!!found?.length && (
        <>
          <Sums of={byPerson(found)} />
          <Days of={found} />
        </>
      )}
    </section>
  );
}

const FIGURES: readonly Column[] = [
  { name: "Documents", class: "bar-cell" },
  ...numbers("Accepted", "Rejected", "Set by hand", "In bulk", "Undone"),
];

const figuresOf = (of: Totals, most: number) => [
  <>
    <Bar share={most ? of.documents / most : 0} /> <span class="number">{count(of.documents)}</span>
  </>,
  ...[of.accepted, of.rejected, of.labeled, of.bulk, of.undone].map(count),
];

function Sums({ of }: { of: readonly Totals[] }) {
  const most = Math.max(...of.map((row) => row.documents));
  return (
    <Table
      label="Progress by person"
      columns={[{ name: "Person", class: "name" }, ...FIGURES]}
      rows={of.map((row) => ({ key: row.by, cells: [<bdi>{row.by}</bdi>, ...figuresOf(row, most)] }))}
    />
  );
}

function Days({ of }: { of: readonly Work[] }) {
  const most = Math.max(...of.map((row) => row.documents));
  return (
    <>
      <h3>By day</h3>
      <Table
        label="Progress by day"
        columns={[{ name: "Day" }, { name: "Person", class: "name" }, ...FIGURES]}
        rows={of.map((row) => ({
          key: `${row.date} ${row.by}`,
          cells: [
            <time dateTime={row.date}>{dayName(row.date)}</time>,
            <bdi>{row.by}</bdi>,
            ...figuresOf(row, most),
          ],
        }))}
      />
    </>
  );
}
