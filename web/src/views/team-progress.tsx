import { useSignal } from "@preact/signals";
import { readProgress, type Work } from "../api/team";
import { count } from "../domain/format";
import { byPerson, dayBefore, dayName, type Totals } from "../domain/work";
import { Bar, Failure, Field, Loading, TableScroll } from "../ui/parts";
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
        A document counts once a day for each person who changed its labels alone; bulk decisions are counted
        apart. Days are days of UTC.
      </p>
      <Field label="Period">
        <select value={period} onChange={(e) => (days.value = Number(e.currentTarget.value))}>
          {PERIODS.map((one) => (
            <option key={one} value={one}>
              Last {one} days
            </option>
          ))}
        </select>
      </Field>
      {work.error.value && <Failure message={work.error.value} onRetry={work.again} />}
      {!found && !work.error.value && <Loading what="the progress" />}
      {found?.length === 0 && <p class="hint">Nobody changed labels in these days.</p>}
      {!!found?.length && (
        <>
          <Sums of={byPerson(found)} />
          <Days of={found} />
        </>
      )}
    </section>
  );
}

function Heads({ first }: { first: readonly string[] }) {
  return (
    <thead>
      <tr>
        {first.map((name) => (
          <th key={name} scope="col">
            {name}
          </th>
        ))}
        <th scope="col" class="bar-cell">
          Documents
        </th>
        {["Accepted", "Rejected", "Set by hand", "In bulk", "Undone"].map((name) => (
          <th key={name} scope="col" class="number">
            {name}
          </th>
        ))}
      </tr>
    </thead>
  );
}

function Numbers({ of, most }: { of: Totals; most: number }) {
  return (
    <>
      <td class="bar-cell">
        <Bar share={most ? of.documents / most : 0} /> <span class="number">{count(of.documents)}</span>
      </td>
      {[of.accepted, of.rejected, of.labeled, of.bulk, of.undone].map((number, index) => (
        <td key={index} class="number">
          {count(number)}
        </td>
      ))}
    </>
  );
}

function Sums({ of }: { of: readonly Totals[] }) {
  const most = Math.max(...of.map((one) => one.documents));
  return (
    <TableScroll label="Progress by person">
      <table class="bars progress-table">
        <caption class="sr-only">Progress by person</caption>
        <Heads first={["Person"]} />
        <tbody>
          {of.map((one) => (
            <tr key={one.by}>
              <th scope="row" class="person">
                <bdi>{one.by}</bdi>
              </th>
              <Numbers of={one} most={most} />
            </tr>
          ))}
        </tbody>
      </table>
    </TableScroll>
  );
}

function Days({ of }: { of: readonly Work[] }) {
  const most = Math.max(...of.map((one) => one.documents));
  return (
    <>
      <h3>By day</h3>
      <TableScroll label="Progress by day">
        <table class="bars progress-table">
          <caption class="sr-only">Progress by day and person</caption>
          <Heads first={["Day", "Person"]} />
          <tbody>
            {of.map((one) => (
              <tr key={`${one.date} ${one.by}`}>
                <th scope="row">
                  <time dateTime={one.date}>{dayName(one.date)}</time>
                </th>
                <td class="person">
                  <bdi>{one.by}</bdi>
                </td>
                <Numbers of={one} most={most} />
              </tr>
            ))}
          </tbody>
        </table>
      </TableScroll>
    </>
  );
}
