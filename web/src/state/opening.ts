/** The document that was asked for: read, and read again after an outage until it is there or another is asked for. */

import { batch, signal } from "@preact/signals";
import { ApiError, messageOf } from "../api/http";
import type { Documents } from "./documents";
import { READ_AGAIN_MS } from "./list";
import type { Loaded } from "./source";

/** Which of its suggestions is pointed at. */
export type At = "first" | "last";

export class Opening {
  /** The document that was asked for and is not shown yet. */
  readonly id = signal<string | null>(null);
  /** Why it could not be read. */
  readonly failure = signal<string | null>(null);
  /** Reads the document again that could not be read. */
  again: () => void = () => undefined;
  private timer = 0;
  private closed = false;

  /** `missing`: no later try can give the document that was asked for. */
  constructor(
    private readonly documents: Documents,
    private readonly show: (loaded: Loaded, at: At) => void,
    private readonly missing: () => void,
  ) {}

  async open(id: string, at: At): Promise<void> {
    if (this.closed) return;
    clearTimeout(this.timer);
    const here = this.documents.at(id);
    if (here) return this.ended(here, at);
    batch(() => {
      if (id !== this.id.value) this.failure.value = null;
      this.id.value = id;
    });
    this.again = () => void this.open(id, at);
    try {
      const loaded = await this.documents.load(id);
      if (this.id.value === id) this.ended(loaded, at);
    } catch (error) {
      if (this.id.value === id) this.failed(error);
    }
  }

  /** Nothing is asked for any more. */
  cancel(): void {
    clearTimeout(this.timer);
    this.again = () => undefined;
    batch(() => {
      this.id.value = null;
      this.failure.value = null;
    });
  }

  close(): void {
    this.closed = true;
    this.cancel();
  }

  private ended(loaded: Loaded, at: At): void {
    batch(() => {
      this.cancel();
      this.show(loaded, at);
    });
  }

  private failed(error: unknown): void {
    const passes = error instanceof ApiError && error.passes;
    batch(() => {
      this.failure.value = messageOf(error);
      if (!passes) this.missing();
    });
    clearTimeout(this.timer);
    if (passes) this.timer = window.setTimeout(this.again, READ_AGAIN_MS);
  }
}
