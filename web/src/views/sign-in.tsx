import { useSignal } from "@preact/signals";
import { config, signIn, signInNotice, signInWithKey } from "../auth/session";
import { ApiError } from "../api/http";
import { useAction } from "../ui/use-action";

export function SignIn() {
  const local = config.value?.authMode === "local";
  return (
    <main class="sign-in">
      <img src="/studio/icon.svg" alt="" width="56" height="56" />
      <h1>Labelbridge</h1>
      <p class="lead">Review what the model suggests, one key a decision.</p>
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
        throw new Error("The server does not know this key. Copy it again from the settings of the app.");
      }
    });
  };
  return (
    <form class="card stack" onSubmit={submit}>
      <label class="field">
        <span class="field-label">Access key</span>
        <input
          type="text"
          name="key"
          autocomplete="off"
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
        On a developer’s machine the key is <code>labelbridge-local</code>. It stays in this tab and is
        forgotten when you close it.
      </p>
      {error.value && (
        <p class="notice bad" role="alert">
          {error.value}
        </p>
      )}
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
      <p>Sign in with your work account. What you may do here is decided by your roles.</p>
      {error.value && (
        <p class="notice bad" role="alert">
          {error.value}
        </p>
      )}
      <button type="button" class="primary" disabled={busy.value} onClick={() => void run(signIn)}>
        Sign in with Microsoft
      </button>
    </div>
  );
}
