import { render } from "preact";
import { App } from "./app";
import { begin } from "./auth/session";
import { messageOf } from "./api/http";
import "./styles/base.css";
import "./styles/parts.css";
import "./styles/tables.css";
import "./styles/categories.css";
import "./styles/views.css";
import "./styles/text.css";
import "./styles/panel.css";
import "./styles/marks.css";
import "./styles/review.css"; // last: its rules for narrow pages change those above

const root = document.getElementById("app")!;

// While the server does not respond, the first call is repeated for seconds.
render(
  <main class="sign-in">
    <p class="loading late" role="status">
      <span class="spinner" aria-hidden="true" /> Connecting…
    </p>
  </main>,
  root,
);
begin()
  .then(() => render(<App />, root))
  .catch((error: unknown) => {
    render(
      <main class="sign-in">
        <h1>The page could not start</h1>
        <p role="alert">{messageOf(error)}</p>
        <p>Reload the page. If the problem persists, contact your administrator.</p>
      </main>,
      root,
    );
  });
