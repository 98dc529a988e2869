/** Small parts that several views share. */

import { cloneElement, type ComponentChildren, type VNode } from "preact";
import { useId } from "preact/hooks";
import { percent } from "../domain/format";
import type { JobStatus } from "../api/types";
import { words } from "../domain/format";

export function Loading({ what }: { what: string }) {
  return (
    <p class="loading" role="status">
      <span class="spinner" aria-hidden="true" /> Reading {what}…
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

/** A control with its label; the label is beside the control, so that options are no part of the name. */
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
