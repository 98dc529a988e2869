/** Every operation that the page uses, one function each. */

import { call, follow, json } from "./http";
import { run, start } from "./operations";
import type {
  AutolabelRequest,
  AutolabelResult,
  BulkRequest,
  BulkResult,
  Category,
  CategoryEdit,
  Connection,
  ConnectionEvent,
  ConnectRequest,
  Decision,
  DocumentItem,
  DocumentOutcome,
  EngineFigures,
  Estimate,
  FitResult,
  Guidelines,
  GuidelineVersion,
  HistoryItem,
  Job,
  LabelFields,
  Model,
  OutcomeName,
  Page,
  Project,
  PushRequest,
  PushResult,
  PushTarget,
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

export const changeProject = async (name: string, body: Record<string, unknown>): Promise<Project> =>
  json(project(name), { method: "PATCH", body });

export const getGuidelines = (name: string, version?: number): Promise<Guidelines> =>
  json(`${project(name)}/guidelines${version === undefined ? "" : `/versions/${version}`}`);

export const listGuidelineVersions = async (name: string): Promise<GuidelineVersion[]> =>
  (await json<Page<GuidelineVersion>>(`${project(name)}/guidelines/versions`)).value;

export const putGuidelines = (name: string, text: string, read: number): Promise<Guidelines> =>
  json(`${project(name)}/guidelines`, { method: "PUT", body: { text }, ifMatch: `"${read}"` });

/** Deletes the project; the documents in its container stay. */
export const deleteProject = (name: string): Promise<Job> => run(project(name), { method: "DELETE" });

/** A large export comes in parts, each a project file with other documents. */
interface ProjectFilePart {
  assets: { documents: unknown[] };
  nextLink?: string;
}

/** The Azure project file of the project, as text. */
export async function exportProject(name: string): Promise<string> {
  const job = await run(`${project(name)}/:export`, { query: { stringIndexType: "Utf16CodeUnit" } });
  const { resultUrl } = job as Job & { resultUrl?: string };
  if (!resultUrl) throw new Error("The export has no file.");
  const file = await follow<ProjectFilePart>(resultUrl);
  for (let next = file.nextLink; next;) {
    const part = await follow<ProjectFilePart>(next);
    for (const document of part.assets.documents) file.assets.documents.push(document);
    next = part.nextLink;
  }
  delete file.nextLink;
  return JSON.stringify(file, null, 2);
}

/** Makes a project from an Azure project file, or replaces the project of this name. */
export const importProject = (name: string, file: unknown): Promise<Job> =>
  run(`${project(name)}/:import`, { body: file });

export const getStatistics = (name: string, signal?: AbortSignal): Promise<Record<string, unknown>> =>
  json(`${project(name)}/statistics`, signal ? { signal } : {});

export const listCategories = async (name: string): Promise<Category[]> =>
  (await json<Page<Category>>(`${project(name)}/categories`)).value;

export const putCategories = async (name: string, value: readonly CategoryEdit[]): Promise<Category[]> =>
  (await json<Page<Category>>(`${project(name)}/categories`, { method: "PUT", body: { value } })).value;

export const removeCategories = async (name: string, categories: readonly string[]): Promise<Category[]> =>
  (
    await json<Page<Category>>(`${project(name)}/categories/:remove`, {
      method: "POST",
      body: { categories },
    })
  ).value;

export interface DocumentQuery {
  status?: string;
  dataset?: string;
  category?: string;
  jobId?: string;
  locationPrefix?: string;
  minConfidence?: number;
  maxConfidence?: number;
  assignedTo?: string;
  flagged?: boolean;
  /** A model, and a cell of the confusion matrix of its evaluation. */
  evaluatedModel?: string;
  expectedCategory?: string;
  predictedCategory?: string;
  orderby?: string;
  top?: number;
  /** "true": the answer says how many documents match. */
  count?: string;
  continuationToken?: string;
}

export const listDocuments = (
  name: string,
  query: DocumentQuery,
  signal?: AbortSignal,
): Promise<Page<DocumentItem> & { count?: number }> =>
  json(`${project(name)}/documents`, {
    query: { ...query, flagged: query.flagged === undefined ? undefined : String(query.flagged) },
    ...(signal ? { signal } : {}),
  });

export interface Match {
  document: DocumentItem;
  matches: number;
  /** The text around the first match in one line, and the place of the match in it. */
  context: { text: string; offset: number; length: number };
}

export interface Found extends Page<Match> {
  /** Documents that were searched so far, of `total`; `unread` of them have no text that could be read. */
  searched: number;
  unread: number;
  total: number;
}

/** The next matches in the texts of documents. With a token there may be more, also after none. */
export const searchDocuments = (
  name: string,
  body: Omit<DocumentQuery, "count"> & { text: string },
  signal?: AbortSignal,
): Promise<Found> =>
  json(`${project(name)}/documents/:search`, { method: "POST", body, ...(signal ? { signal } : {}) });

export const getDocument = (name: string, id: string): Promise<DocumentItem> => json(documentPath(name, id));

/** The text, with exactly the characters that offsets count. */
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

export interface DocumentPatch {
  dataset?: string;
  contentChanged?: boolean;
  flagged?: boolean;
  note?: string;
}

export const patchDocument = (
  name: string,
  id: string,
  body: DocumentPatch,
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

/** Compares the container with the documents. More than half of them are removed only when `confirmRemovals` is set. */
export const scan = (name: string, confirmRemovals = false): Promise<Job<{ removalsHeldBack?: number }>> =>
  run(`${project(name)}/documents/:scan`, { body: { confirmRemovals } });

const autolabel = (name: string, rest = ""): string => `${project(name)}/autolabel${rest}`;
const autolabelJob = (name: string, id: string, rest = ""): string =>
  autolabel(name, `/jobs/${encodeURIComponent(id)}${rest}`);

export const listAutolabelJobs = async (name: string): Promise<Job<AutolabelResult>[]> =>
  (await json<Page<Job<AutolabelResult>>>(autolabel(name, "/jobs"))).value;
/** The newest; undefined: there was none. */
export const lastFit = async (name: string): Promise<Job<FitResult> | undefined> =>
  (await json<Page<Job<FitResult>>>(autolabel(name, "/fits"), { query: { top: 1 } })).value[0];
export const startAutolabel = (name: string, body: AutolabelRequest): Promise<string> =>
  start(autolabel(name, "/jobs"), { body });
export const estimateAutolabel = (name: string, body: AutolabelRequest): Promise<Estimate> =>
  json(autolabel(name, "/:estimate"), { method: "POST", body });
export const listEngines = async (name: string): Promise<EngineFigures[]> =>
  (await json<{ value: EngineFigures[] }>(`${project(name)}/engines`)).value;
export const cancelAutolabel = (name: string, id: string): Promise<string> =>
  start(autolabelJob(name, id, "/:cancel"));
export const retryAutolabel = (name: string, id: string): Promise<string> =>
  start(autolabelJob(name, id, "/:retry"));
export const listOutcomes = (
  name: string,
  id: string,
  query: { top?: number; outcome?: OutcomeName; continuationToken?: string } = {},
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

export const getPushTarget = (name: string): Promise<PushTarget> => json(`${project(name)}/push`);
export const startPush = (name: string, body: PushRequest): Promise<string> =>
  start(`${project(name)}/:push`, { body });
export const listPushJobs = async (name: string): Promise<Job<PushResult>[]> =>
  (await json<Page<Job<PushResult>>>(`${project(name)}/push/jobs`)).value;
export const cancelPush = (name: string, id: string): Promise<string> =>
  start(`${project(name)}/push/jobs/${encodeURIComponent(id)}/:cancel`);

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
