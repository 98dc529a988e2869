import { useEffect, useMemo, useRef } from "preact/hooks";
import { ReviewView } from "../review/review-view";
import { href, TABS, type Tab } from "../router";
import { OpenProject } from "../state/project";
import { Icon } from "../ui/icon";
import { Failure, Loading } from "../ui/parts";
import { Autolabel } from "./autolabel";
import { ConnectionView } from "./connection";
import { Overview } from "./overview";
import { Settings } from "./settings";
import { Team } from "./team";
import { Training } from "./training";

const NAMES: Record<Tab, string> = {
  overview: "Overview",
  review: "Review",
  label: "Label by hand",
  autolabel: "Autolabel",
  training: "Training",
  team: "Team",
  connection: "Connection",
  settings: "Settings",
};

export function ProjectView({ name, tab, query }: { name: string; tab: Tab; query: URLSearchParams }) {
  const open = useMemo(() => new OpenProject(name), [name]);
  useEffect(() => {
    void open.open();
    return () => open.close();
  }, [open]);
  const tabs = useRef<HTMLElement>(null);
  useEffect(() => {
    // On a phone the row of tabs scrolls sideways: the current one must be in view.
    tabs.current?.querySelector("[aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
  }, [tab]);
  return (
    <>
      <nav ref={tabs} class="tabs" aria-label="Project">
        {TABS.map((view) => (
          <a key={view} href={href(name, view)} aria-current={view === tab ? "page" : undefined}>
            {NAMES[view]}
          </a>
        ))}
      </nav>
      <LockBanner open={open} />
      <Body open={open} tab={tab} query={query} />
    </>
  );
}

function Body({ open, tab, query }: { open: OpenProject; tab: Tab; query: URLSearchParams }) {
  const error = open.error.value;
  if (error && !open.project.value) {
    return (
      <main class="page">
        {error.missing ? (
          <>
            <h1>
              Project “<bdi>{open.name}</bdi>” not found
            </h1>
            <p>
              It may have been deleted. Go back to <a href="#/projects">Projects</a>.
            </p>
          </>
        ) : (
          <Failure message={error.message} onRetry={() => void open.refresh()} />
        )}
      </main>
    );
  }
  if (!open.project.value) {
    return (
      <main class="page">
        <Loading what="the project" />
      </main>
    );
  }
  if (tab === "review" || tab === "label")
    return <ReviewView key={`${tab} ${query.get("second")}`} open={open} tab={tab} query={query} />;
  return (
    <main class="page">
      {tab === "overview" && <Overview open={open} />}
      {tab === "autolabel" && <Autolabel open={open} query={query} />}
      {tab === "training" && <Training open={open} query={query} />}
      {tab === "team" && <Team open={open} query={query} />}
      {tab === "connection" && <ConnectionView open={open} />}
      {tab === "settings" && <Settings open={open} />}
    </main>
  );
}

function LockBanner({ open }: { open: OpenProject }) {
  const lock = open.lock.value;
  return (
    <div role="status" class="lock-space">
      {lock && (
        <p class="lock">
          <Icon name="lock" />
          <span>
            <strong>Labeling is locked.</strong> <bdi>{lock.reason}</bdi> {lock.until}
          </span>
        </p>
      )}
    </div>
  );
}
