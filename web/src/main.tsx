import { render } from "preact";
import { App } from "./app";
import { begin } from "./auth/session";
import { messageOf } from "./api/http";
import "./styles/base.css";
import "./styles/parts.css";
import "./styles/views.css";
import "./styles/review.css";

const root = document.getElementById("app")!;

begin()
  .then(() => render(<App />, root))
  .catch((error: unknown) => {
    render(
      <main class="sign-in">
        <h1>The page could not start</h1>
        <p role="alert">{messageOf(error)}</p>
        <p>Reload the page; if it stays so, tell your administrator.</p>
      </main>,
      root,
    );
  });
