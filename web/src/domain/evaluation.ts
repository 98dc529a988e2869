/** The evaluation of a model, the same for the three kinds of project. */

import type { Evaluation, Score } from "../api/types";

type Raw = Record<string, unknown>;

export function readEvaluation(summary: Raw): Evaluation {
  const body = (Object.entries(summary).find(([name]) => name.endsWith("Evaluation"))?.[1] ?? summary) as Raw;
  const number = (name: string): number => Number(body[name] ?? 0);
  return {
    microF1: number("microF1"),
    microPrecision: number("microPrecision"),
    microRecall: number("microRecall"),
    macroF1: number("macroF1"),
    macroPrecision: number("macroPrecision"),
    macroRecall: number("macroRecall"),
    scores: (body["classes"] ?? body["entities"] ?? {}) as Record<string, Score>,
    confusion: (body["confusionMatrix"] ?? {}) as Evaluation["confusion"],
    warnings: ((summary["warnings"] ?? []) as { message: string }[]).map((warning) => warning.message),
  };
}
