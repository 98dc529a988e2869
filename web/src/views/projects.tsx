import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { getConnection, getStatistics, listAutolabelJobs, listProjects } from "../api/client";
import { ended } from "../api/operations";
import type { Project, Studio } from "../api/types";
import { may } from "../auth/session";
import { ago, count, kindName, moment, studioName } from "../domain/format";
import { parseKind } from "../domain/labels";
import { readStatistics, type Statistics } from "../domain/statistics";
import { href } from "../router";
import { Icon } from "../ui/icon";
import { Empty, Failure, Loading } from "../ui/parts";
import { usePoll } from "../ui/use-poll";
import { NewProject } from "./new-project";
import { StatusBar } from "./status-bar";

const REFRESH_MS = 15_000;

export function ProjectsView() {
  const { data, error, again } = usePoll(listProjects, () => REFRESH_MS, "projects");
  const creating = useSignal(false);
  const projects = data.value;
  return (
    <main class="page">
      <div class="title-row">
        <h1>Projects</h1>
        {may("Projects.Write") && (
          <button type="button" onClick={() => (creating.value = true)}>
            <Icon name="plus" /> New project
          </button>
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
      {creating.value && <NewProject onClose={() => (creating.value = false)} />}
    </main>
  );
}

function NoProjects() {
  return (
    <Empty title="There is no project yet">
      <p>
        A project watches one container of your storage account. Make one here, or import a project file with
        the Azure client; its documents appear as soon as the container was read.
      </p>
    </Empty>
  );
}

interface Numbers {
  statistics: Statistics | null;
  studio: Studio | undefined;
  running: number | null;
}

function ProjectCard({ project }: { project: Project }) {
  const numbers = useNumbers(project);
  const { statistics, studio, running } = numbers.value;
  const locked = project.settings?.isLabelingLocked;
  return (
    <li class="card project-card">
      <h2>
        <a id={`project-${project.projectName}`} href={href(project.projectName)} class="cover">
          <bdi>{project.projectName}</bdi>
        </a>
      </h2>
      <p class="meta">
        {kindName(parseKind(project.projectKind))} · <bdi>{project.language}</bdi>
        {project.description && (
          <>
            {" · "}
            <bdi>{project.description}</bdi>
          </>
        )}
      </p>
      {statistics ? <StatusBar statistics={statistics} /> : <div class="status-bar-space" />}
      <p class="meta card-foot">
        <span class="studio">
          {locked && <Icon name="lock" size={14} />} {studioName(studio)}
        </span>
        {running !== null && <span class="badge live">Autolabel {count(Math.round(running))}%</span>}
        <span title={moment(project.lastTrainedDateTime)}>
          {project.lastTrainedDateTime ? `trained ${ago(project.lastTrainedDateTime)}` : "never trained"}
        </span>
      </p>
      {(statistics?.byStatus.autoLabeled ?? 0) > 0 && (
        <a
          class="button primary raised"
          href={href(project.projectName, "review")}
          aria-describedby={`project-${project.projectName}`}
        >
          Review
        </a>
      )}
    </li>
  );
}

function useNumbers(project: Project) {
  const numbers = useSignal<Numbers>({ statistics: null, studio: undefined, running: null });
  useEffect(() => {
    let live = true;
    const name = project.projectName;
    const aml = project.settings?.amlProjectPath;
    const read = async (): Promise<void> => {
      const [statistics, connection, jobs] = await Promise.all([
        getStatistics(name)
          .then(readStatistics)
          .catch(() => null),
        aml ? getConnection(name).catch(() => null) : null,
        listAutolabelJobs(name).catch(() => []),
      ]);
      const job = jobs.find((one) => !ended(one));
      if (live)
        numbers.value = {
          statistics,
          studio: connection?.activeStudio,
          running: job ? (job.result?.percentComplete ?? 0) : null,
        };
    };
    void read();
    return () => void (live = false);
  }, [project]);
  return numbers;
}
