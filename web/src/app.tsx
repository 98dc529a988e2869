import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { person, signedIn, signOut } from "./auth/session";
import { plural } from "./domain/format";
import { href, route } from "./router";
import { left } from "./state/left";
import { setTheme, theme } from "./state/theme";
import { titleOf } from "./state/title";
import { Icon } from "./ui/icon";
import { Failure } from "./ui/parts";
import { Toasts } from "./ui/toasts";
import type { ProjectView } from "./views/project";
import { ProjectsView } from "./views/projects";
import { SignIn } from "./views/sign-in";

export function App() {
  if (!signedIn.value) return <SignIn />;
  return (
    <>
      <Header />
      <LeftUnsaved />
      <View />
      <Toasts />
    </>
  );
}

/** Work that autosave could not save before the person left the review. */
function LeftUnsaved() {
  return (
    <div role="status">
      {left.value.map(({ project, second, drafts, saving }) => {
        const documents = drafts.unsaved.value.length;
        const state = saving.state.value;
        if (!documents || state.is === "saving") return null;
        const failed = state.is === "failed";
        return (
          <p key={drafts.prefix} class="left-unsaved">
            {plural(documents, "document")} of <bdi>{titleOf(project)}</bdi>{" "}
            {failed ? (state.final ? `not saved: ${state.message}` : "not saved, retrying.") : "not saved."}{" "}
            <a href={href(project, "review", { second })}>Open the review</a>
          </p>
        );
      })}
    </div>
  );
}

function View() {
  const at = route.value;
  const title = at.view === "project" ? `${at.project} · ${at.tab}` : "Projects";
  useEffect(() => {
    document.title = `${title} · Labelbridge`;
  }, [title]);
  if (at.view === "projects") return <ProjectsView />;
  if (at.view === "project")
    return <LazyProject key={at.project} name={at.project} tab={at.tab} query={at.query} />;
  return (
    <main class="page">
      <h1>Page not found</h1>
      <p>
        Go to <a href="#/projects">Projects</a>.
      </p>
    </main>
  );
}

let loaded: typeof ProjectView | null = null;

/** The views of a project are loaded with the first one that is opened: the list of projects needs none of them. */
function LazyProject(props: Parameters<typeof ProjectView>[0]) {
  const view = useSignal(loaded);
  const failed = useSignal(false);
  useEffect(() => {
    if (view.value) return;
    import("./views/project").then(
      (module) => (view.value = loaded = module.ProjectView),
      () => (failed.value = true),
    );
  }, []);
  const Loaded = view.value;
  if (Loaded) return <Loaded {...props} />;
  return (
    <main class="page">
      {failed.value && (
        <Failure
          message="This part of the page could not be loaded. A newer version may be deployed: reload the page."
          onRetry={() => window.location.reload()}
        />
      )}
    </main>
  );
}

function Header() {
  const at = route.value;
  const dark = theme.value === "dark";
  return (
    <header class="header">
      <a class="brand" href="#/projects" aria-label="Labelbridge, all projects">
        <img src="/studio/icon.svg" alt="" width="26" height="26" />
        <span>Labelbridge</span>
      </a>
      <nav class="crumbs" aria-label="Breadcrumb">
        <a href="#/projects" aria-current={at.view === "projects" ? "page" : undefined}>
          Projects
        </a>
        {at.view === "project" && (
          <>
            <span aria-hidden="true">/</span>
            <bdi class="crumb-project">{titleOf(at.project)}</bdi>
          </>
        )}
      </nav>
      <div class="header-end">
        <button
          type="button"
          class="icon-button"
          aria-label={dark ? "Light colors" : "Dark colors"}
          title={dark ? "Light colors" : "Dark colors"}
          onClick={() => setTheme(dark ? "light" : "dark")}
        >
          <Icon name={dark ? "sun" : "moon"} />
        </button>
        <span class="who" title={[...(person.value?.roles ?? [])].join(", ") || undefined}>
          {person.value?.name}
        </span>
        <button type="button" class="quiet" onClick={signOut}>
          Sign out
        </button>
      </div>
    </header>
  );
}
