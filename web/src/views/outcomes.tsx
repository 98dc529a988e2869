import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { listOutcomes } from "../api/client";
import { messageOf } from "../api/http";
import type { AutolabelResult, DocumentOutcome, Job } from "../api/types";
import { plural, words } from "../domain/format";
import { href } from "../router";
import { Failure, Loading } from "../ui/parts";

const MOST = 5_000;
const SHOWN = 200;

/** What became of each document of a job, failures first and with their reasons. */
export function Outcomes({ project, job }: { project: string; job: Job<AutolabelResult> }) {
  const rows = useSignal<DocumentOutcome[] | null>(null);
  const error = useSignal<string | null>(null);
  useEffect(() => {
    let live = true;
    readAll(project, job.jobId).then(
      (found) => live && (rows.value = found),
      (failure: unknown) => live && (error.value = messageOf(failure)),
    );
    return () => void (live = false);
  }, [job.jobId, job.status]);
  if (error.value) return <Failure message={error.value} />;
  if (!rows.value) return <Loading what="the outcomes" />;
  const sorted = [...rows.value].sort(
    (a, b) => Number(b.outcome === "failed") - Number(a.outcome === "failed"),
  );
  return (
    <div class="table-scroll" tabIndex={0} role="region" aria-label="Outcomes">
      <table class="outcomes">
        <thead>
          <tr>
            <th scope="col">Document</th>
            <th scope="col">Outcome</th>
            <th scope="col">Reason</th>
          </tr>
        </thead>
        <tbody>
          {sorted.slice(0, SHOWN).map((row) => (
            <tr key={row.documentId}>
              <td>
                <a href={href(project, "label", { doc: row.documentId })}>
                  <bdi>{row.location}</bdi>
                </a>
              </td>
              <td class={row.outcome === "failed" ? "bad-text" : ""}>{words(row.outcome)}</td>
              <td>{row.error?.message ?? ""}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {sorted.length > SHOWN && <p class="hint">and {plural(sorted.length - SHOWN, "more document")}</p>}
    </div>
  );
}

async function readAll(project: string, jobId: string): Promise<DocumentOutcome[]> {
  const found: DocumentOutcome[] = [];
  let token: string | undefined;
  do {
    const page = await listOutcomes(project, jobId, {
      top: 1_000,
      ...(token ? { continuationToken: token } : {}),
    });
    found.push(...page.value);
    token = page.continuationToken;
  } while (token && found.length < MOST);
  return found;
}
