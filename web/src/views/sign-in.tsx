import { useSignal } from "@preact/signals";
import { config, signIn, signInNotice, signInWithKey } from "../auth/session";
import { ApiError } from "../api/http";
import { useAction } from "../ui/use-action";
import { ErrorNotice } from "../ui/parts";

export function SignIn() {
  const local = config.value?.authMode === "local";
  return (
    <main class="sign-in">
      <img src="/studio/icon.svg" alt="" width="56" height="56" />
      <h1>Labelbridge</h1>
      <p class="lead">Review the labels that a model suggests, one key per decision.</p>
      {signInNotice.value && <p class="notice">{signInNotice.value}</p>}
      {local ? <KeyForm /> : <AccountButton />}
    </main>
  );
}

function KeyForm() {
  const key = useSignal("");
  const { busy, error, run } = useAction();
  const submit = (event: Event): void => {
    event.preventDefault();
    void run(async () => {
      try {
        await signInWithKey(key.value);
      } catch (failure) {
        if (!(failure instanceof ApiError) || failure.status !== 401) throw failure;
        throw new Error("The server does not know this key. Copy it again from the app settings.");
      }
    });
  };
  return (
    <form class="card stack" onSubmit={submit}>
      <label class="field">
        <span class="field-label">Access key</span>
        <input
          type="password"
          name="key"
          autocomplete="current-password"
          autocapitalize="none"
          spellcheck={false}
          autofocus
          required
          value={key.value}
          aria-describedby="key-hint"
          onInput={(event) => (key.value = event.currentTarget.value)}
        />
      </label>
      <p id="key-hint" class="hint">
        On a local machine it is <code>labelbridge-local</code>. It is kept in this tab only, until you close
        it.
      </p>
      <ErrorNotice message={error.value} />
      <button type="submit" class="primary" disabled={busy.value}>
        {busy.value ? "Signing in…" : "Sign in"}
      </button>
    </form>
  );
}

function AccountButton() {
  const { busy, error, run } = useAction();
  return (
    <div class="card stack">
      <p>Sign in with your work account. Your roles decide what you can do here.</p>
      <ErrorNotice message={error.value} />
      <button type="button" class="primary" disabled={busy.value} onClick={() => void run(signIn)}>
        Sign in with Microsoft
      </button>
    </div>
  );
}
