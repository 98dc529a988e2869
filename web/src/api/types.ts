/** The shapes of the API that the page reads and writes. Offsets are UTF-16 code units, as in JavaScript strings. */

export type Kind =
  "CustomSingleLabelClassification" | "CustomMultiLabelClassification" | "CustomEntityRecognition";
export type Dataset = "Train" | "Test";
export type Status = "unlabeled" | "autoLabeled" | "labeled" | "rejected";
export type Studio = "languageStudio" | "azureMachineLearning";
export type JobStatus =
  "notStarted" | "running" | "succeeded" | "failed" | "cancelled" | "cancelling" | "partiallyCompleted";

export interface ErrorBody {
  code: string;
  message: string;
  target?: string;
  details?: ErrorBody[];
  innererror?: { code?: string };
}

export interface Page<T> {
  value: T[];
  continuationToken?: string;
  nextLink?: string;
}

export interface Project {
  projectName: string;
  projectKind: Kind;
  storageInputContainerName: string;
  language: string;
  multilingual?: boolean;
  description?: string;
  /** What people see in place of the name. */
  displayName?: string;
  createdDateTime?: string;
  lastModifiedDateTime?: string;
  lastTrainedDateTime?: string;
  /** Where the project was pushed to last. */
  deployedModel?: { projectName: string; deploymentName: string };
  settings?: {
    confidenceThreshold?: number;
    amlProjectPath?: string | null;
    isLabelingLocked?: boolean;
    autolabel?: { onUpload?: boolean; engine?: string | null; modelLabel?: string | null };
  };
}

/** Where a push goes whose body names nothing. */
export interface PushTarget {
  endpoint: string;
  projectName: string;
  deploymentName: string;
  modelLabel: string;
  available: boolean;
  unavailable?: string;
  /** The project was pushed to that name before. */
  replaces: boolean;
}

export interface PushRequest {
  projectName: string;
  deploymentName: string;
  modelLabel: string;
  evaluationOptions: Record<string, unknown>;
  /** Replace also what was not pushed from here. */
  replace?: boolean;
}

export interface PushResult {
  projectName: string;
  deploymentName: string;
  modelLabel: string;
  step: "import" | "train" | "deploy";
  percentComplete: number;
  documents?: number;
  waitingFor?: string;
}

/** A version of the labeling guidelines without its text; 0: there are none. */
export interface GuidelineVersion {
  version: number;
  by: string | null;
  dateTime: string | null;
  length: number;
}

export interface Guidelines extends GuidelineVersion {
  text: string;
}

export interface Suggestion {
  id: string;
  category: string;
  confidence: number;
  offset?: number;
  length?: number;
  jobId?: string;
  engine?: string;
  model?: string | null;
}

export interface Entity {
  category: string;
  offset: number;
  length: number;
}

export interface WireRegion {
  regionOffset: number;
  regionLength: number;
  labels: Entity[];
}

/** The label field of the project's kind; absent on a document that is not labeled. */
export interface LabelFields {
  /** A null category is "no label applies". */
  class?: { category: string | null } | null;
  classes?: { category: string }[] | null;
  entities?: WireRegion[] | null;
}

export interface DocumentItem extends LabelFields {
  id: string;
  location: string;
  language: string;
  dataset: Dataset;
  status: Status;
  eTag: string;
  contentChanged: boolean;
  missing: boolean;
  length: number | null;
  /** The first words of the text. */
  excerpt?: string;
  flagged: boolean;
  note?: string;
  suggestions: Suggestion[];
  rejection?: { code: string; message: string };
  labelProblems?: string[];
}

export interface Decision {
  documentId: string;
  eTag: string;
  accept: string[];
  reject: string[];
}

export interface SaveResult {
  documentId: string;
  status: "saved" | "conflict" | "notFound" | "invalid";
  eTag?: string;
  document?: DocumentItem;
  error?: ErrorBody;
}

export interface Category {
  category: string;
  description?: string | null;
}

/** Defines or describes a category; `previousCategory` renames the one of that name. */
export interface CategoryEdit {
  category: string;
  description?: string;
  previousCategory?: string;
}

export interface Job<R = Record<string, unknown>> {
  jobId: string;
  status: JobStatus;
  createdDateTime?: string;
  lastUpdatedDateTime?: string;
  expirationDateTime?: string;
  errors?: ErrorBody[];
  warnings?: ErrorBody[];
  result?: R;
}

export type OutcomeName = "suggested" | "nothingFound" | "skipped" | "failed";

export interface AutolabelResult {
  engine: string;
  modelLabel?: string | null;
  documentsTotal: number;
  documentsDone: number;
  percentComplete: number;
  outcomes: Record<OutcomeName, number>;
  textRecords: number;
  /** Of services that are paid by the token; the cost only where the server knows their prices. */
  tokens?: { input: number; output: number };
  cost?: number;
  /** Suggestions of a service that were dropped: not in the text, or of no category. */
  leftOut?: number;
  /** The model or deployment of a service. */
  model?: string;
}

/** A fit of an engine on the labels, which makes no trained model. */
export interface FitResult {
  engine: string;
  labeledDocuments: number;
  trainingStatus?: { percentComplete?: number; startDateTime?: string; endDateTime?: string };
}

/** An engine of the server, and the counts of its suggestions in a project. */
export interface EngineFigures {
  engine: string;
  available: boolean;
  unavailable?: string;
  needsLabels: boolean;
  /** The model that jobs use now, for an external engine. */
  model: string | null;
  suggested: number;
  accepted: number;
  rejected: number;
  precision: number | null;
  bands: {
    minConfidence: number;
    maxConfidence: number;
    suggested: number;
    accepted: number;
    rejected: number;
    precision: number | null;
  }[];
  /** By the model or deployment that made them; null: those that name none. */
  models: {
    model: string | null;
    suggested: number;
    accepted: number;
    rejected: number;
    precision: number | null;
  }[];
  tokens: { input: number; output: number };
  cost: number | null;
}

export interface AutolabelRequest {
  engine?: string;
  modelLabel?: string;
  documents?: string[];
  categories?: string[];
}

export interface Estimate {
  documents: number;
  textRecords: number;
  tokens?: number;
  cost?: number | null;
  unavailable?: string;
}

export interface DocumentOutcome {
  documentId: string;
  location: string;
  outcome: OutcomeName;
  error?: ErrorBody;
}

export interface BulkRequest {
  decision: "accept" | "reject";
  minConfidence?: number;
  maxConfidence?: number;
  categories?: string[];
  jobId?: string;
  locationPrefix?: string;
  /** Only entities with exactly this text. */
  text?: string;
  flagged?: boolean;
  /** A person's name, `@me` or `@none`. */
  assignedTo?: string;
  dataset?: string;
  dryRun?: boolean;
}

export interface BulkResult {
  matched: number;
  changed: number;
  conflicts: number;
}

export type ConnectionState =
  "none" | "connecting" | "connected" | "switching" | "disconnecting" | "disconnected";

export interface Connection {
  state: ConnectionState;
  activeStudio: Studio;
  studio?: "azure-ml" | "workspace";
  workspaceId?: string;
  amlProjectName?: string;
  amlProjectPath?: string;
  lastImportedDateTime?: string;
  /** Documents labeled there since the last import, where that is known. */
  unsyncedLabels?: number;
  pendingStep?: string;
  waitingFor?: string;
  error?: ErrorBody;
  warnings?: ErrorBody[];
}

export interface ConnectionEvent {
  dateTime: string;
  by: string;
  details: Record<string, string>;
}

export interface HistoryItem {
  dateTime: string;
  by: string;
  action: string;
  details: Record<string, unknown>;
}

export interface ConnectRequest {
  studio: "azure-ml" | "workspace";
  workspaceId: string;
  amlProjectName: string;
  instructions?: string;
}

export interface Model {
  label: string;
  modelId?: string;
  lastTrainedDateTime?: string;
  lastTrainingDurationInSeconds?: number;
  trainingConfigVersion?: string;
}

export interface Score {
  f1: number;
  precision: number;
  recall: number;
  truePositiveCount: number;
  falsePositiveCount: number;
  falseNegativeCount: number;
}

export interface Evaluation {
  microF1: number;
  microPrecision: number;
  microRecall: number;
  macroF1: number;
  macroPrecision: number;
  macroRecall: number;
  scores: Record<string, Score>;
  /** Which labels were left out or adjusted, with counts. */
  warnings: string[];
  confusion: Record<string, Record<string, { normalizedValue: number; rawValue: number }>>;
}
