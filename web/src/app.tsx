import { useEffect } from "preact/hooks";
import { person, signedIn, signOut } from "./auth/session";
import { route } from "./router";
import { setTheme, theme } from "./state/theme";
import { Icon } from "./ui/icon";
import { Toasts } from "./ui/toasts";
import { ProjectView } from "./views/project";
import { ProjectsView } from "./views/projects";
import { SignIn } from "./views/sign-in";

export function App() {
  if (!signedIn.value) return <SignIn />;
  return (
    <>
      <Header />
      <View />
      <Toasts />
    </>
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
    return <ProjectView key={at.project} name={at.project} tab={at.tab} query={at.query} />;
  return (
    <main class="page">
      <h1>There is no such page</h1>
      <p>
        Go to <a href="#/projects">Projects</a>.
      </p>
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
      <nav class="crumbs" aria-label="Where you are">
        <a href="#/projects" aria-current={at.view === "projects" ? "page" : undefined}>
          Projects
        </a>
        {at.view === "project" && (
          <>
            <span aria-hidden="true">/</span>
            <bdi class="crumb-project">{at.project}</bdi>
          </>
        )}
      </nav>
      <div class="header-end">
        <button
          type="button"
          class="icon-button"
          aria-label={dark ? "Light colours" : "Dark colours"}
          title={dark ? "Light colours" : "Dark colours"}
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
