import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { listOutcomes } from "../api/client";
import { messageOf } from "../api/http";
import type { AutolabelResult, DocumentOutcome, Job, OutcomeName } from "../api/types";
import { plural, words } from "../domain/format";
import { href } from "../router";
import { Failure, Loading } from "../ui/parts";
import { Table } from "../ui/table";

const MOST = 200;

/** The outcome of each document of a job, failures first and with their reasons. */
export function Outcomes({ project, job }: { project: string; job: Job<AutolabelResult> }) {
  const rows = useSignal<DocumentOutcome[] | null>(null);
  const error = useSignal<string | null>(null);
  useEffect(() => {
    let live = true;
    failuresFirst(project, job).then(
      (found) => live && (rows.value = found),
      (failure: unknown) => live && (error.value = messageOf(failure)),
    );
    return () => void (live = false);
  }, [job.jobId, job.status]);
  if (error.value) return <Failure message={error.value} />;
  if (!rows.value) return <Loading what="the outcomes" />;
  const more = (job.result?.documentsDone ?? 0) - rows.value.length;
  return (
    <>
      <Table
        label="Outcomes"
        columns={[{ name: "Document", class: "name" }, { name: "Outcome" }, { name: "Reason" }]}
        rows={rows.value.map((row) => ({
          key: row.documentId,
          cells: [
            <a href={href(project, "label", { doc: row.documentId })}>
              <bdi>{row.location}</bdi>
            </a>,
            <span class={row.outcome === "failed" ? "bad-text" : ""}>{words(row.outcome)}</span>,
            row.error?.message ?? "",
          ],
        }))}
      />
      {more > 0 && <p class="hint">and {plural(more, "more document")}</p>}
    </>
  );
}

/** The first outcomes of the job: failed ones, then all others in the order of the job. */
async function failuresFirst(project: string, job: Job<AutolabelResult>): Promise<DocumentOutcome[]> {
  const failures = job.result?.outcomes?.failed ?? 0;
  const failed = failures ? await readSome(project, job.jobId, "failed") : [];
  const all = failed.length < MOST ? await readSome(project, job.jobId) : [];
  return [...failed, ...all.filter((row) => row.outcome !== "failed")].slice(0, MOST);
}

const readSome = async (project: string, jobId: string, outcome?: OutcomeName): Promise<DocumentOutcome[]> =>
  (await listOutcomes(project, jobId, { top: MOST, ...(outcome ? { outcome } : {}) })).value;
