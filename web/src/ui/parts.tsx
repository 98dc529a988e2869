/** Small parts that several views share. */

import type { Signal } from "@preact/signals";
import { cloneElement, type ComponentChildren, type InputHTMLAttributes, type VNode } from "preact";
import { useId } from "preact/hooks";
import type { JobStatus } from "../api/types";
import { percent, words } from "../domain/format";

export function Loading({ what }: { what: string }) {
  return (
    <p class="loading" role="status">
      <span class="spinner" aria-hidden="true" /> Loading {what}…
    </p>
  );
}

export function Failure({ message, onRetry }: { message: string; onRetry?: () => void }) {
  return (
    <div class="notice bad" role="alert">
      <p>{message}</p>
      {onRetry && (
        <button type="button" onClick={onRetry}>
          Try again
        </button>
      )}
    </div>
  );
}

/** Why what a person asked for failed, if it did. */
export function ErrorNotice({ message }: { message: string | null }) {
  return message ? (
    <p class="notice bad" role="alert">
      {message}
    </p>
  ) : null;
}

/** The field where a person types a name to confirm what is permanent. */
export function ConfirmName({ name, typed }: { name: string; typed: Signal<string> }) {
  return (
    <label class="field">
      <span class="field-label">
        Type <bdi class="strong">{name}</bdi> to confirm
      </span>
      <TextInput spellcheck={false} signal={typed} />
    </label>
  );
}

/** Cancels a job that runs. */
export function CancelJob({
  what,
  status,
  busy,
  onCancel,
}: {
  what: string;
  status: JobStatus | string;
  busy: boolean;
  onCancel: () => void;
}) {
  return (
    <button type="button" class="danger" disabled={busy || status === "cancelling"} onClick={onCancel}>
      Cancel {what}
    </button>
  );
}

export function Empty({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

export function Badge({ status }: { status: JobStatus | string }) {
  const tone =
    status === "succeeded" || status === "connected"
      ? "good"
      : status === "failed" || status === "partiallyCompleted"
        ? "bad"
        : "calm";
  return <span class={`badge ${tone}`}>{words(status)}</span>;
}

export function Progress({ value, label }: { value: number; label: string }) {
  const share = Math.max(0, Math.min(1, value));
  return (
    <div class="progress">
      <progress max={1} value={share} aria-label={label} />
      <span class="number">{percent(share)}</span>
    </div>
  );
}

/** A bar in a table cell; the number beside it says the same in text. */
export function Bar({ share, tone = "label" }: { share: number; tone?: "label" | "suggestion" | "calm" }) {
  return (
    <span class="bar" aria-hidden="true">
      <span class={`bar-fill ${tone}`} style={{ inlineSize: `${Math.max(0, Math.min(1, share)) * 100}%` }} />
    </span>
  );
}

/** A control with its label beside it, so that the options of a select are not part of the label. */
export function Field({ label, hint, children }: { label: string; hint?: string; children: VNode }) {
  const id = useId();
  return (
    <div class="field">
      <label class="field-label" for={id}>
        {label}
      </label>
      {cloneElement(children, { id, ...(hint ? { "aria-describedby": `${id}-hint` } : {}) })}
      {hint && (
        <span class="hint" id={`${id}-hint`}>
          {hint}
        </span>
      )}
    </div>
  );
}

/** A field of text whose value is the signal's. */
export function TextInput({
  signal,
  ...rest
}: { signal: Signal<string> } & InputHTMLAttributes<HTMLInputElement>) {
  return (
    <input
      autocomplete="off"
      dir="auto"
      {...rest}
      value={signal.value}
      onInput={(event) => (signal.value = event.currentTarget.value)}
    />
  );
}

/** The options of a select, or of the suggestions of a field, that say what they stand for. */
export function Options({ values }: { values: readonly string[] }) {
  return values.map((value) => (
    <option key={value} value={value}>
      {value}
    </option>
  ));
}

interface TableScrollProps {
  label: string;
  /** "group" where one page has several of the same label. */
  role?: "region" | "group";
  children: ComponentChildren;
}

/** A table that scrolls in its own region where the page is too narrow for it. */
export function TableScroll({ label, role = "region", children }: TableScrollProps) {
  return (
    <div class="table-scroll" tabIndex={0} role={role} aria-label={label}>
      {children}
    </div>
  );
}
