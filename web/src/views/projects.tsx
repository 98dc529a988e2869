import { useSignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { getConnection, getStatistics, listAutolabelJobs, listProjects } from "../api/client";
import { ended } from "../api/operations";
import type { Project, Studio } from "../api/types";
import { may } from "../auth/session";
import { count, kindName, moment, studioName, trained } from "../domain/format";
import { parseKind } from "../domain/labels";
import { readStatistics, type Statistics } from "../domain/statistics";
import { href } from "../router";
import { Icon } from "../ui/icon";
import { Empty, Failure, Loading } from "../ui/parts";
import { usePoll } from "../ui/use-poll";
import { ImportProject } from "./import-project";
import { NewProject } from "./new-project";
import { StatusBar } from "./status-bar";

const REFRESH_MS = 15_000;
const NO_STATISTICS = readStatistics({});

export function ProjectsView() {
  const { data, error, again } = usePoll(listProjects, () => REFRESH_MS, "projects");
  const dialog = useSignal<"new" | "import" | null>(null);
  const close = (): void => void (dialog.value = null);
  const projects = data.value;
  return (
    <main class="page">
      <div class="title-row">
        <h1>Projects</h1>
        {may("Projects.Write") && (
          <div class="actions">
            <button type="button" onClick={() => (dialog.value = "import")}>
              Import project…
            </button>
            <button type="button" onClick={() => (dialog.value = "new")}>
              <Icon name="plus" /> New project
            </button>
          </div>
        )}
      </div>
      {error.value && <Failure message={error.value} onRetry={again} />}
      {!projects && !error.value && <Loading what="the projects" />}
      {projects?.length === 0 && <NoProjects />}
      {projects && projects.length > 0 && (
        <ul class="cards" role="list">
          {projects.map((project) => (
            <ProjectCard key={project.projectName} project={project} />
          ))}
        </ul>
      )}
      {dialog.value === "new" && <NewProject onClose={close} />}
      {dialog.value === "import" && (
        <ImportProject existing={projects?.map((project) => project.projectName) ?? []} onClose={close} />
      )}
    </main>
  );
}

function NoProjects() {
  return (
    <Empty title="No projects yet">
      <p>
        A project labels the documents of one container in your storage account. Create one, or import a
        project file. The documents appear as soon as the container has been scanned.
      </p>
    </Empty>
  );
}

interface Numbers {
  statistics: Statistics | null;
  /** Where labels are made; null: not known yet. */
  studio: Studio | null;
  running: number | null;
}

function ProjectCard({ project }: { project: Project }) {
  const card = useRef<HTMLLIElement>(null);
  const numbers = useNumbers(project, card);
  const { statistics, studio, running } = numbers.value;
  const waiting = (statistics?.byStatus.autoLabeled ?? 0) > 0;
  return (
    <li class="card project-card" ref={card}>
      <h2>
        <a id={`project-${project.projectName}`} href={href(project.projectName)} class="cover">
          <bdi>{project.displayName || project.projectName}</bdi>
        </a>
      </h2>
      <p class="meta">
        {project.displayName && (
          <>
            <bdi>{project.projectName}</bdi>
            {" · "}
          </>
        )}
        {kindName(parseKind(project.projectKind))} · <bdi>{project.language}</bdi>
        {project.description && (
          <>
            {" · "}
            <bdi>{project.description}</bdi>
          </>
        )}
      </p>
      {/* Space is reserved for missing content, so that no card moves while it is clicked. */}
      <div class={statistics ? undefined : "room"}>
        <StatusBar statistics={statistics ?? NO_STATISTICS} />
      </div>
      <div class="card-foot">
        <div class="one-place">
          {studio !== "azureMachineLearning" && project.settings?.amlProjectPath && (
            <StudioLine project={project} studio="azureMachineLearning" hidden />
          )}
          <StudioLine project={project} studio={studio} />
        </div>
        <a
          class={waiting ? "button primary raised" : "button raised room"}
          href={href(project.projectName, "review")}
          aria-describedby={`project-${project.projectName}`}
        >
          Review
        </a>
      </div>
      {running !== null && <p class="badge running-badge">Autolabel {count(Math.round(running))}%</p>}
    </li>
  );
}

interface StudioLineProps {
  project: Project;
  /** null: not known, so not named. */
  studio: Studio | null;
  /** Only its space is taken: the line of either studio fits. */
  hidden?: boolean;
}

function StudioLine({ project, studio, hidden }: StudioLineProps) {
  return (
    <p class={hidden ? "meta room" : "meta"}>
      {project.settings?.isLabelingLocked && <Icon name="lock" size={14} />}{" "}
      {studio && <>Labeling in {studioName(studio)}&nbsp;· </>}
      <span title={moment(project.lastTrainedDateTime)}>{trained(project.lastTrainedDateTime)}</span>
    </p>
  );
}

/**
 * The numbers of a card, read when it is within one screen of the view: an account may have hundreds of projects, and
 * a keyboard reaches only the commands that are shown by then.
 */
function useNumbers(project: Project, card: RefObject<HTMLLIElement | null>) {
  const numbers = useSignal<Numbers>({
    statistics: null,
    studio: project.settings?.amlProjectPath ? null : "languageStudio",
    running: null,
  });
  useEffect(() => {
    let live = true;
    const name = project.projectName;
    const connected = !!project.settings?.amlProjectPath;
    const read = async (): Promise<void> => {
      const [statistics, connection, jobs] = await Promise.all([
        getStatistics(name)
          .then(readStatistics)
          .catch(() => null),
        connected ? getConnection(name).catch(() => null) : null,
        listAutolabelJobs(name).catch(() => []),
      ]);
      const job = jobs.find((candidate) => !ended(candidate));
      if (live)
        numbers.value = {
          statistics,
          studio: connected ? (connection?.activeStudio ?? numbers.value.studio) : "languageStudio",
          running: job ? (job.result?.percentComplete ?? 0) : null,
        };
    };
    const near = (entries: IntersectionObserverEntry[]): void => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      void read();
    };
    const observer = new IntersectionObserver(near, { rootMargin: "100% 0px" });
    if (card.current) observer.observe(card.current);
    return () => {
      live = false;
      observer.disconnect();
    };
  }, [project]);
  return numbers;
}
