import type { Evaluation } from "../api/types";
import { count, percent, score, visible } from "../domain/format";
import { href } from "../router";
import { Bar, TableScroll } from "../ui/parts";
import { numbers, Table } from "../ui/table";

interface Props {
  evaluation: Evaluation;
  project: string;
  model: string;
}

export function EvaluationView({ evaluation, project, model }: Props) {
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
      <Confusion evaluation={evaluation} project={project} model={model} />
    </div>
  );
}

function Scores({ evaluation }: { evaluation: Evaluation }) {
  return (
    <section class="card wide">
      <h3>By category</h3>
      <Table
        label="Scores by category"
        columns={[
          { name: "Category", class: "name" },
          { name: "F1", class: "bar-cell" },
          ...numbers("Precision", "Recall", "True positives", "False positives", "False negatives"),
        ]}
        rows={Object.entries(evaluation.scores).map(([category, figures]) => ({
          key: category,
          cells: [
            <bdi>{visible(category)}</bdi>,
            <>
              <Bar share={figures.f1} /> <span class="number">{score(figures.f1)}</span>
            </>,
            ...[figures.precision, figures.recall].map(score),
            ...[figures.truePositiveCount, figures.falsePositiveCount, figures.falseNegativeCount].map(count),
          ],
        }))}
      />
    </section>
  );
}

/** Rows are the labels of people, columns the predictions; the darker, the larger the share of the row. */
function Confusion({ evaluation, project, model }: Props) {
  const { confusion } = evaluation;
  const rows = Object.keys(confusion);
  if (!rows.length) return null;
  const columns = [...new Set(rows.flatMap((row) => Object.keys(confusion[row]!)))];
  return (
    <section class="card wide">
      <h3>Confusion matrix</h3>
      <p class="hint">Rows: labels set by people. Columns: predictions. A number opens its documents.</p>
      <TableScroll label="Confusion matrix">
        <table class="confusion">
          <thead>
            <tr>
              <td />
              {columns.map((column) => (
                <th key={column} scope="col" title={column}>
                  <bdi>{visible(column)}</bdi>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={row}>
                <th scope="row" title={row}>
                  <bdi>{visible(row)}</bdi>
                </th>
                {columns.map((column) => (
                  <Cell
                    key={column}
                    project={project}
                    model={model}
                    row={row}
                    column={column}
                    cell={confusion[row]?.[column]}
                  />
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </TableScroll>
    </section>
  );
}

interface CellProps {
  project: string;
  model: string;
  row: string;
  column: string;
  cell: { normalizedValue: number; rawValue: number } | undefined;
}

function Cell({ project, model, row, column, cell }: CellProps) {
  // Azure writes the share of the row in percent.
  const share = Math.min(1, (cell?.normalizedValue ?? 0) / 100);
  const number = cell?.rawValue ?? 0;
  const step = number ? Math.ceil(share * 5) : 0;
  const text = `${count(number)} labeled ${row}, predicted ${column} (${percent(share)} of the row)`;
  return (
    <td class={`cell ${row === column ? "right" : "wrong"} step-${step}`} title={text}>
      {number > 0 ? (
        <a
          href={href(project, "label", { model, expected: row, predicted: column })}
          aria-label={`${text}: open the documents`}
        >
          {count(number)}
        </a>
      ) : (
        count(number)
      )}
    </td>
  );
}
