/** Every operation that the page uses, one function each. */

import { call, follow, json } from "./http";
import { run, start } from "./operations";
import type {
  AutolabelRequest,
  AutolabelResult,
  BulkRequest,
  BulkResult,
  Category,
  Connection,
  ConnectionEvent,
  ConnectRequest,
  Decision,
  DocumentItem,
  DocumentOutcome,
  Estimate,
  HistoryItem,
  Job,
  LabelFields,
  Model,
  Page,
  Project,
  SaveResult,
} from "./types";

const PROJECTS = "/authoring/analyze-text/projects";
const project = (name: string): string => `${PROJECTS}/${encodeURIComponent(name)}`;
const documentPath = (name: string, id: string): string =>
  `${project(name)}/documents/${encodeURIComponent(id)}`;

export async function whoami(): Promise<{ name: string; roles: string[] }> {
  return json("/whoami");
}

/** Every project; the list is paged by `nextLink`. */
export async function listProjects(): Promise<Project[]> {
  let page = await json<Page<Project>>(PROJECTS);
  const found = [...page.value];
  while (page.nextLink) {
    page = await follow<Page<Project>>(page.nextLink);
    found.push(...page.value);
  }
  return found;
}

export const getProject = (name: string): Promise<Project> => json(project(name));

export async function createProject(name: string, body: Record<string, unknown>): Promise<void> {
  await call(project(name), { method: "PATCH", body });
}

export const getStatistics = (name: string, signal?: AbortSignal): Promise<Record<string, unknown>> =>
  json(`${project(name)}/statistics`, signal ? { signal } : {});

export const listCategories = async (name: string): Promise<Category[]> =>
  (await json<Page<Category>>(`${project(name)}/categories`)).value;

export interface DocumentQuery {
  status?: string;
  dataset?: string;
  category?: string;
  jobId?: string;
  locationPrefix?: string;
  orderby?: string;
  top?: number;
  continuationToken?: string;
}

export const listDocuments = (
  name: string,
  query: DocumentQuery,
  signal?: AbortSignal,
): Promise<Page<DocumentItem>> =>
  json(`${project(name)}/documents`, { query: { ...query }, ...(signal ? { signal } : {}) });

export const getDocument = (name: string, id: string): Promise<DocumentItem> => json(documentPath(name, id));

/** The text with exactly the characters that offsets count. */
export async function getText(name: string, id: string): Promise<string> {
  const response = await call(`${documentPath(name, id)}/text`);
  if (!response.headers.get("content-type")?.includes("json")) return response.text();
  return ((await response.json()) as { text: string }).text;
}

export const getHistory = async (name: string, id: string): Promise<HistoryItem[]> =>
  (await json<Page<HistoryItem>>(`${documentPath(name, id)}/history`)).value;

export const putLabels = (
  name: string,
  id: string,
  labels: LabelFields,
  ifMatch: string,
): Promise<DocumentItem> =>
  json(`${documentPath(name, id)}/labels`, { method: "PUT", body: labels, ifMatch });

export const patchDocument = (
  name: string,
  id: string,
  body: { dataset?: string; contentChanged?: boolean },
  ifMatch: string,
): Promise<DocumentItem> => json(documentPath(name, id), { method: "PATCH", body, ifMatch });

export const undoDocument = (name: string, id: string, ifMatch: string): Promise<DocumentItem> =>
  json(`${documentPath(name, id)}/:undo`, { method: "POST", ifMatch });

export const saveDecisions = async (name: string, decisions: Decision[]): Promise<SaveResult[]> =>
  (
    await json<{ results: SaveResult[] }>(`${project(name)}/documents/:review`, {
      method: "POST",
      body: { decisions },
    })
  ).results;

export const reviewAll = (
  name: string,
  body: BulkRequest,
  onProgress?: (job: Job<BulkResult>) => void,
): Promise<Job<BulkResult>> => run(`${project(name)}/documents/:review-all`, { body }, onProgress);

export const undoReviewAll = (name: string, jobId: string): Promise<Job<BulkResult>> =>
  run(`${project(name)}/review/jobs/${encodeURIComponent(jobId)}/:undo`);

export const scan = (name: string): Promise<Job> => run(`${project(name)}/documents/:scan`);

const autolabel = (name: string, rest = ""): string => `${project(name)}/autolabel${rest}`;
const autolabelJob = (name: string, id: string, rest = ""): string =>
  autolabel(name, `/jobs/${encodeURIComponent(id)}${rest}`);

export const listAutolabelJobs = async (name: string): Promise<Job<AutolabelResult>[]> =>
  (await json<Page<Job<AutolabelResult>>>(autolabel(name, "/jobs"))).value;
export const startAutolabel = (name: string, body: AutolabelRequest): Promise<string> =>
  start(autolabel(name, "/jobs"), { body });
export const estimateAutolabel = (name: string, body: AutolabelRequest): Promise<Estimate> =>
  json(autolabel(name, "/:estimate"), { method: "POST", body });
export const cancelAutolabel = (name: string, id: string): Promise<string> =>
  start(autolabelJob(name, id, "/:cancel"));
export const retryAutolabel = (name: string, id: string): Promise<string> =>
  start(autolabelJob(name, id, "/:retry"));
export const listOutcomes = (
  name: string,
  id: string,
  query: { top?: number; continuationToken?: string } = {},
): Promise<Page<DocumentOutcome>> => json(autolabelJob(name, id, "/documents"), { query });

export const startTraining = (name: string, body: Record<string, unknown>): Promise<string> =>
  start(`${project(name)}/:train`, { body });
export const listTrainingJobs = async (name: string): Promise<Job<TrainingResult>[]> =>
  (await json<Page<Job<TrainingResult>>>(`${project(name)}/train/jobs`)).value;
export const cancelTraining = (name: string, id: string): Promise<string> =>
  start(`${project(name)}/train/jobs/${encodeURIComponent(id)}/:cancel`);
export const listModels = async (name: string): Promise<Model[]> =>
  (await json<Page<Model>>(`${project(name)}/models`)).value;
export const getEvaluation = (name: string, label: string): Promise<Record<string, unknown>> =>
  json(`${project(name)}/models/${encodeURIComponent(label)}/evaluation/summary-result`);

export interface TrainingResult {
  modelLabel: string;
  trainingStatus?: { percentComplete?: number; status?: string };
  evaluationStatus?: { percentComplete?: number; status?: string };
}

const connection = (name: string, rest = ""): string => `${project(name)}/connection${rest}`;
export const getConnection = (name: string): Promise<Connection> => json(connection(name));
export const checkConnection = (name: string, body: ConnectRequest): Promise<Record<string, unknown>> =>
  json(connection(name, "/:check"), { method: "POST", body });
export const connect = (name: string, body: ConnectRequest): Promise<string> =>
  start(connection(name), { method: "PUT", body });
export const switchStudio = (name: string, to: string): Promise<string> =>
  start(connection(name, "/:switch"), { body: { to } });
export const syncLabels = (name: string): Promise<string> => start(connection(name, "/:sync"));
export const disconnect = (name: string, confirm: string, discardUnsyncedLabels: boolean): Promise<string> =>
  start(connection(name, "/:disconnect"), { body: { confirm, discardUnsyncedLabels } });
export const connectionHistory = async (name: string): Promise<ConnectionEvent[]> =>
  (await json<Page<ConnectionEvent>>(connection(name, "/history"))).value;
