import { count } from "../domain/format";
import type { Statistics } from "../domain/statistics";

const PARTS = [
  ["labeled", "labeled"],
  ["autoLabeled", "suggested"],
  ["unlabeled", "unlabeled"],
  ["rejected", "unreadable"],
] as const;

/** The progress of a project: one bar, and its counts. */
export function StatusBar({ statistics }: { statistics: Statistics }) {
  const { byStatus, total } = statistics;
  return (
    <div class="status">
      <div class="status-bar" aria-hidden="true">
        {PARTS.filter(([key]) => byStatus[key] > 0).map(([key]) => (
          <span key={key} class={`part ${key}`} style={{ flexGrow: byStatus[key] / Math.max(1, total) }} />
        ))}
      </div>
      <dl class="counts">
        {PARTS.map(([key, word]) => (
          <div key={key} class={`count ${key}`}>
            <dt>
              <span>
                {word}
                {key === "rejected" && <span class="rest"> files</span>}
              </span>
            </dt>
            <dd>{count(byStatus[key])}</dd>
          </div>
        ))}
      </dl>
    </div>
  );
}
