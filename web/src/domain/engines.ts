import type { EngineFigures } from "../api/types";

/** The engines that a project or a job can choose; an empty name is the default. */
export const ENGINES = [
  ["", "The engine of the project"],
  ["embedded", "Embedded (a model that learns from your labels)"],
  ["azure-language", "Azure AI Language (a deployed model)"],
  ["azure-openai", "Azure OpenAI (works from the names of categories)"],
] as const;

/** With fewer labeled documents the embedded engine cannot learn. */
export const FEW_LABELS = 5;

/** The engine that suggests from names and descriptions alone; then another that needs no labels. */
export function withoutLabels(engines: readonly EngineFigures[]): EngineFigures | undefined {
  const found = engines.filter((engine) => engine.available && !engine.needsLabels);
  return found.find(({ engine }) => engine === "azure-openai") ?? found[0];
}

/** Why an engine needs no labels. */
export function howWithoutLabels(engine: string): string {
  return engine === "azure-openai"
    ? "needs none: it works from the names and descriptions of the categories."
    : "needs none.";
}

/** The display name of an engine. */
export function engineName(engine: string): string {
  const found = ENGINES.find(([value]) => value === engine);
  return found?.[0] ? found[1].replace(/ \(.*/, "") : engine;
}
