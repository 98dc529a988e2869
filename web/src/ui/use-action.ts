import { useSignal } from "@preact/signals";
import { messageOf } from "../api/http";

/** Runs one asynchronous action at a time and keeps its failure for the view to show. */
export function useAction() {
  const busy = useSignal(false);
  const error = useSignal<string | null>(null);
  const run = async (action: () => Promise<void>): Promise<boolean> => {
    if (busy.value) return false;
    busy.value = true;
    error.value = null;
    try {
      await action();
      return true;
    } catch (failure) {
      error.value = messageOf(failure);
      return false;
    } finally {
      busy.value = false;
    }
  };
  return { busy, error, run };
}
