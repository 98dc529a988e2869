/** Who uses the page: settings from the server, sign-in, roles. The server checks every call again. */

import { computed, signal } from "@preact/signals";
import { listProjects, whoami } from "../api/client";
import { API_VERSION, ApiError, file, messageOf, useCredentials } from "../api/http";
import { takeKey } from "../router";
import { signInWithEntra, tokenFor } from "./entra";

export interface Config {
  authMode: "local" | "entra" | "easyauth";
  tenantId: string | null;
  clientId: string | null;
  scope: string | null;
  authority: string | null;
  /** The studios that the server can connect to; absent on an older server. */
  studios?: readonly string[];
  apiVersion: string;
}

export interface Person {
  name: string;
  /** null: unknown, so nothing is hidden. */
  roles: ReadonlySet<string> | null;
}

export type Role = "Labels.Read" | "Labels.Review" | "Projects.Write" | "Projects.Own" | "Labeling.Switch";

const KEY = "labelbridge.key";
const KEY_HEADER = "Ocp-Apim-Subscription-Key";
export const config = signal<Config | null>(null);
export const person = signal<Person | null>(null);
/** Why the sign-in page is shown again, if there is a reason to show. */
export const signInNotice = signal<string | null>(null);
export const signedIn = computed(() => person.value !== null);

export function may(role: Role): boolean {
  const roles = person.value?.roles;
  return !roles || roles.has("*") || roles.has(role);
}

/** Reads the server's settings and resumes a session of this tab; raises ApiError. */
export async function begin(): Promise<void> {
  const given = takeKey();
  const settings = await file<Config>("/studio/config.json");
  API_VERSION.value = settings.apiVersion || API_VERSION.value;
  config.value = settings;
  useCredentials(headers, expire);
  // In an open tab, only the hash of the address changes.
  window.addEventListener("hashchange", () => void signInWithAddress(takeKey()));
  if (given && settings.authMode === "local") return signInWithAddress(given);
  if (settings.authMode === "local" && !sessionStorage.getItem(KEY)) return;
  if (settings.authMode === "entra" && !(await tokenFor(settings, "resume"))) return;
  await identify().catch((error: unknown) => {
    if (!isUnknown(error)) throw error; // the sign-in is kept: when the server responds again, the page resumes it
  });
}

/** Whether the server answered that it does not know who calls. */
const isUnknown = (error: unknown): boolean => error instanceof ApiError && error.status === 401;

/** Signs in with a key that a person typed; raises ApiError, and forgets it, when that fails: it is still in the form. */
export async function signInWithKey(key: string): Promise<void> {
  await useKey(key).catch((error: unknown) => {
    if (sessionStorage.getItem(KEY) === key.trim()) forget(); // not a sign-in that began since, by an address
    throw error;
  });
}

/** Signs in with a local key, which `expire` forgets when the server says that it does not know it; raises ApiError. */
async function useKey(key: string): Promise<void> {
  sessionStorage.setItem(KEY, key.trim());
  await identify();
}

/** Signs in with the key of an address that `make run` printed; where people sign in with accounts it is ignored. */
async function signInWithAddress(key: string | null): Promise<void> {
  if (!key || config.value?.authMode !== "local") return;
  person.value = null;
  await useKey(key).catch((error: unknown) => {
    signInNotice.value = isUnknown(error)
      ? "The server does not know the key in this address."
      : `${messageOf(error)} Reload the page to try again.`;
  });
}

export async function signIn(): Promise<void> {
  const settings = config.value;
  if (settings?.authMode === "entra") await signInWithEntra(settings);
  else window.location.assign("/.auth/login/aad?post_login_redirect_uri=%2Fstudio%2F");
}

export function signOut(): void {
  const mode = config.value?.authMode;
  forget();
  signInNotice.value = null;
  if (mode === "easyauth") window.location.assign("/.auth/logout?post_logout_redirect_uri=%2Fstudio%2F");
}

async function identify(): Promise<void> {
  const key = sessionStorage.getItem(KEY);
  let found: Person;
  try {
    const { name, roles } = await whoami();
    found = { name, roles: new Set(roles) };
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 404) throw error;
    await listProjects();
    found = { name: "Signed in", roles: null };
  }
  if (sessionStorage.getItem(KEY) !== key) return; // someone else signs in, or this person has signed out
  person.value = found;
  signInNotice.value = null;
}

async function headers(): Promise<Record<string, string>> {
  const settings = config.value;
  if (settings?.authMode === "local") {
    const key = sessionStorage.getItem(KEY);
    return key ? { [KEY_HEADER]: key } : {};
  }
  if (settings?.authMode !== "entra") return {};
  const token = await tokenFor(settings, "use");
  return token ? { authorization: `Bearer ${token}` } : {};
}

/** Ends the session, unless the call was sent in an earlier one. */
function expire(credentials: Record<string, string>): void {
  const local = config.value?.authMode === "local";
  if (local && (credentials[KEY_HEADER] ?? null) !== sessionStorage.getItem(KEY)) return;
  if (person.value) signInNotice.value = "Your sign-in has ended. Sign in again; unsaved decisions are kept.";
  forget();
}

function forget(): void {
  sessionStorage.removeItem(KEY);
  person.value = null;
}
