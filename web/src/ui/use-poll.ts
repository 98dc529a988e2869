import { useSignal, type Signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { messageOf } from "../api/http";

export interface Poll<T> {
  readonly data: Signal<T | null>;
  readonly error: Signal<string | null>;
  readonly again: () => void;
}

/** Calls `ask` now, and again after `interval(data)` milliseconds while the page is visible; null ends it. */
export function usePoll<T>(
  ask: () => Promise<T>,
  interval: (data: T | null) => number | null,
  key: string,
): Poll<T> {
  const data = useSignal<T | null>(null);
  const error = useSignal<string | null>(null);
  const round = useSignal(0);
  useEffect(() => {
    let live = true;
    let timer = 0;
    const turn = async (): Promise<void> => {
      if (document.visibilityState === "visible" || data.value === null) {
        try {
          const answer = await ask();
          if (!live) return;
          data.value = answer;
          error.value = null;
        } catch (failure) {
          if (!live) return;
          error.value = messageOf(failure);
        }
      }
      const wait = interval(data.value);
      if (live && wait !== null) timer = window.setTimeout(() => void turn(), wait);
    };
    void turn();
    return () => {
      live = false;
      clearTimeout(timer);
    };
  }, [key, round.value]);
  return { data, error, again: () => void round.value++ };
}
