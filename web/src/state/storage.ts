/** What the page keeps in this browser, under the name of the person who is signed in. */

import { person } from "../auth/session";

const ofBrowser = (): Storage => localStorage;

/** What a reload keeps and the end of the tab forgets. */
export const ofTab = (): Storage => sessionStorage;

const key = (name: string): string => `labelbridge.${name}|${person.value?.name ?? ""}`;

/** The stored value, or `otherwise` when there is none or it cannot be read. */
export function readStored<T>(name: string, otherwise: T, storage: () => Storage = ofBrowser): T {
  try {
    const text = storage().getItem(key(name));
    return text === null ? otherwise : (JSON.parse(text) as T);
  } catch {
    return otherwise;
  }
}

/** Stores the value; where that fails, what was stored before, which is no longer true, goes. */
export function writeStored(name: string, value: unknown, storage: () => Storage = ofBrowser): void {
  try {
    storage().setItem(key(name), JSON.stringify(value));
  } catch {
    forget(name, storage); // a browser that stores nothing forgets the value with the tab
  }
}

function forget(name: string, storage: () => Storage): void {
  try {
    storage().removeItem(key(name));
  } catch {
    // A browser without storage has nothing to remove.
  }
}
