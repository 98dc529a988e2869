import type { Evaluation } from "../api/types";
import { count, percent, score } from "../domain/format";
import { Bar } from "../ui/parts";

export function EvaluationView({ evaluation }: { evaluation: Evaluation }) {
  const figures = [
    ["F1, micro", evaluation.microF1],
    ["Precision, micro", evaluation.microPrecision],
    ["Recall, micro", evaluation.microRecall],
    ["F1, macro", evaluation.macroF1],
    ["Precision, macro", evaluation.macroPrecision],
    ["Recall, macro", evaluation.macroRecall],
  ] as const;
  return (
    <div class="grid">
      <section class="card wide">
        <h3>On the test documents</h3>
        <dl class="figures">
          {figures.map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{score(value)}</dd>
            </div>
          ))}
        </dl>
      </section>
      <Scores evaluation={evaluation} />
      <Confusion confusion={evaluation.confusion} />
    </div>
  );
}

function Scores({ evaluation }: { evaluation: Evaluation }) {
  return (
    <section class="card wide">
      <h3>By category</h3>
      <div class="table-scroll" tabIndex={0} role="region" aria-label="Scores by category">
        <table class="bars">
          <thead>
            <tr>
              <th scope="col">Category</th>
              <th scope="col" class="bar-cell">
                F1
              </th>
              <th scope="col" class="number">
                Precision
              </th>
              <th scope="col" class="number">
                Recall
              </th>
              <th scope="col" class="number">
                Right
              </th>
              <th scope="col" class="number">
                Wrong
              </th>
              <th scope="col" class="number">
                Missed
              </th>
            </tr>
          </thead>
          <tbody>
            {Object.entries(evaluation.scores).map(([category, one]) => (
              <tr key={category}>
                <th scope="row">
                  <bdi>{category}</bdi>
                </th>
                <td class="bar-cell">
                  <Bar share={one.f1} /> <span class="number">{score(one.f1)}</span>
                </td>
                <td class="number">{score(one.precision)}</td>
                <td class="number">{score(one.recall)}</td>
                <td class="number">{count(one.truePositiveCount)}</td>
                <td class="number">{count(one.falsePositiveCount)}</td>
                <td class="number">{count(one.falseNegativeCount)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

/** Rows are what people said, columns what the model said; the darker, the larger the share of the row. */
function Confusion({ confusion }: { confusion: Evaluation["confusion"] }) {
  const rows = Object.keys(confusion);
  if (!rows.length) return null;
  const columns = [...new Set(rows.flatMap((row) => Object.keys(confusion[row]!)))];
  return (
    <section class="card wide">
      <h3>Confusion matrix</h3>
      <p class="hint">Rows: what people said. Columns: what the model said.</p>
      <div class="table-scroll" tabIndex={0} role="region" aria-label="Confusion matrix">
        <table class="confusion">
          <thead>
            <tr>
              <td />
              {columns.map((column) => (
                <th key={column} scope="col">
                  <bdi>{column}</bdi>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={row}>
                <th scope="row">
                  <bdi>{row}</bdi>
                </th>
                {columns.map((column) => (
                  <Cell key={column} right={row === column} cell={confusion[row]?.[column]} />
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Cell({
  cell,
  right,
}: {
  cell: { normalizedValue: number; rawValue: number } | undefined;
  right: boolean;
}) {
  // Azure writes the share of the row in percent.
  const share = Math.min(1, (cell?.normalizedValue ?? 0) / 100);
  const step = Math.ceil(share * 5);
  return (
    <td class={`cell ${right ? "right" : "wrong"} step-${cell?.rawValue ? step : 0}`} title={percent(share)}>
      {count(cell?.rawValue ?? 0)}
    </td>
  );
}
