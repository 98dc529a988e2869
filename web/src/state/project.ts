/** The open project: its settings, whether its labels can be changed now, and its counts. */

import { computed, signal } from "@preact/signals";
import { getConnection, getGuidelines, getProject, getStatistics, listCategories } from "../api/client";
import { ApiError, messageOf } from "../api/http";
import { parseKind } from "../domain/labels";
import { huesOf } from "../domain/colors";
import { readStatistics, type Statistics } from "../domain/statistics";
import type { Filters } from "./filters";
import type { Snapshot } from "./list";
import { setTitle } from "./title";
import type { Category, Connection, Guidelines, Kind, Project } from "../api/types";

const CALM_MS = 10_000;
const LOCKED_MS = 2_000;

export interface Lock {
  readonly reason: string;
  /** What ends it, in words. */
  readonly until: string;
}

export class OpenProject {
  readonly project = signal<Project | null>(null);
  readonly connection = signal<Connection | null>(null);
  readonly statistics = signal<Statistics | null>(null);
  readonly categories = signal<readonly Category[]>([]);
  /** How to label; null until it was read. */
  readonly guidelines = signal<Guidelines | null>(null);
  readonly error = signal<{ message: string; missing: boolean } | null>(null);
  readonly lock = signal<Lock | null>(null);
  /** What people call the project. */
  readonly title = computed(() => this.project.value?.displayName || this.name);
  readonly kind = computed<Kind>(() => parseKind(this.project.value?.projectKind ?? ""));
  /** The color of each category. */
  readonly hues = computed(() => huesOf(this.categories.value.map((c) => c.category)));
  /** The list that was left last, for coming back to it. */
  lastList: { readonly filters: Filters; readonly snapshot: Snapshot } | null = null;
  /** Called when labels can be changed again. */
  onUnlock: () => void = () => {};
  private timer = 0;
  private closed = false;

  constructor(readonly name: string) {}

  async open(): Promise<void> {
    await this.refresh();
    this.plan();
    document.addEventListener("visibilitychange", this.seen);
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    document.removeEventListener("visibilitychange", this.seen);
  }

  async refresh(): Promise<void> {
    try {
      const [project, categories] = await Promise.all([getProject(this.name), listCategories(this.name)]);
      if (this.closed) return;
      this.take(project);
      this.categories.value = categories;
      this.error.value = null;
      await this.refreshLock(project);
    } catch (error) {
      if (this.closed) return;
      this.error.value = {
        message: messageOf(error),
        missing: error instanceof ApiError && error.status === 404,
      };
    }
  }

  async refreshStatistics(): Promise<void> {
    try {
      this.statistics.value = readStatistics(await getStatistics(this.name));
    } catch {
      // The page works without the counts, and the next poll asks again.
    }
  }

  async refreshCategories(): Promise<void> {
    this.categories.value = await listCategories(this.name);
  }

  async refreshGuidelines(): Promise<void> {
    try {
      this.guidelines.value = await getGuidelines(this.name);
    } catch {
      // Those that were read before stay; who opens them asks again.
    }
  }

  async refreshConnection(): Promise<void> {
    try {
      this.connection.value = await getConnection(this.name);
    } catch (error) {
      this.error.value = { message: messageOf(error), missing: false };
    }
  }

  /** A call was refused because labeling is locked: show it at once and poll for its end. */
  locked(error: ApiError): void {
    this.lock.value = {
      reason: error.message,
      until: until(this.connection.value, error.retryAfter !== null),
    };
    this.plan();
    void this.poll();
  }

  private readonly seen = (): void => {
    if (document.visibilityState === "visible") void this.poll();
  };

  private plan(): void {
    clearTimeout(this.timer);
    if (this.closed) return;
    this.timer = window.setTimeout(() => void this.poll(), this.lock.value ? LOCKED_MS : CALM_MS);
  }

  private async poll(): Promise<void> {
    if (document.visibilityState === "visible") {
      // What could not be read when the project was opened is read now, not the project alone.
      if (this.error.value) await this.refresh();
      else await this.refreshProject();
      if (!this.closed && !this.statistics.value) await this.refreshStatistics();
    }
    this.plan();
  }

  private async refreshProject(): Promise<void> {
    try {
      const project = await getProject(this.name);
      if (this.closed) return;
      this.take(project);
      await this.refreshLock(project);
    } catch {
      // The next poll asks again.
    }
  }

  private take(project: Project): void {
    if (JSON.stringify(project) !== JSON.stringify(this.project.value)) this.project.value = project;
    setTitle(this.name, project.displayName);
  }

  private async refreshLock(project: Project): Promise<void> {
    const locked = project.settings?.isLabelingLocked ?? false;
    if (locked || this.connection.value?.state !== "none") {
      this.connection.value = await getConnection(this.name).catch(() => this.connection.value);
      if (this.closed) return;
    }
    if (locked) {
      this.lock.value = lockOf(this.connection.value);
    } else if (this.lock.value) {
      this.lock.value = null;
      this.onUnlock();
    }
  }
}

function lockOf(connection: Connection | null): Lock {
  const state = connection?.state;
  if (state === "connecting") {
    return {
      reason: "The project is being connected to Azure Machine Learning.",
      until: until(connection, true),
    };
  }
  if (state === "switching" || state === "disconnecting") {
    const what =
      state === "switching"
        ? "Labels are being transferred between Labelbridge and Azure Machine Learning."
        : "The project is being disconnected.";
    return { reason: what, until: until(connection, true) };
  }
  if (connection?.activeStudio === "azureMachineLearning") {
    const where = connection.amlProjectName ? ` in the project “${connection.amlProjectName}”` : "";
    return {
      reason: `Labeling happens in Azure Machine Learning${where}.`,
      until: until(connection, false),
    };
  }
  return { reason: "Labels cannot be changed at the moment.", until: until(connection, true) };
}

function until(connection: Connection | null, soon: boolean): string {
  if (soon && connection?.activeStudio !== "azureMachineLearning") {
    return "This takes up to a few minutes; the page unlocks automatically.";
  }
  return "The page unlocks automatically when labeling is switched back to Labelbridge (tab Connection).";
}
