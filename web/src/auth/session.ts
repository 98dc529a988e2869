/** Who is at the page: settings from the server, sign-in, roles. The server decides everything again. */

import { computed, signal } from "@preact/signals";
import { listProjects, whoami } from "../api/client";
import { API_VERSION, ApiError, useCredentials } from "../api/http";
import { signInWithEntra, tokenFor } from "./entra";

export interface Config {
  authMode: "local" | "entra" | "easyauth";
  tenantId: string | null;
  clientId: string | null;
  scope: string | null;
  authority: string | null;
  apiVersion: string;
}

export interface Person {
  name: string;
  /** null: the server does not tell, so nothing is hidden. */
  roles: ReadonlySet<string> | null;
}

export type Role = "Labels.Read" | "Labels.Review" | "Projects.Write" | "Projects.Own" | "Labeling.Switch";

const KEY = "labelbridge.key";
export const config = signal<Config | null>(null);
export const person = signal<Person | null>(null);
/** Why the sign-in page is shown again, if there is something to say. */
export const signInNotice = signal<string | null>(null);
export const signedIn = computed(() => person.value !== null);

export function may(role: Role): boolean {
  const roles = person.value?.roles;
  return !roles || roles.has("*") || roles.has(role);
}

/** Reads the server's settings and resumes a session of this tab. */
export async function begin(): Promise<void> {
  const response = await fetch("/studio/config.json", { cache: "no-store" });
  if (!response.ok) throw new Error(`The server has no settings for this page (status ${response.status}).`);
  const settings = (await response.json()) as Config;
  API_VERSION.value = settings.apiVersion || API_VERSION.value;
  config.value = settings;
  useCredentials(headers, expire);
  if (settings.authMode === "local" && !sessionStorage.getItem(KEY)) return;
  if (settings.authMode === "entra" && !(await tokenFor(settings, "resume"))) return;
  await identify().catch(() => forget());
}

/** Signs in with a local key; raises ApiError when the server does not know it. */
export async function signInWithKey(key: string): Promise<void> {
  sessionStorage.setItem(KEY, key.trim());
  try {
    await identify();
  } catch (error) {
    forget();
    throw error;
  }
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
  try {
    const { name, roles } = await whoami();
    person.value = { name, roles: new Set(roles) };
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 404) throw error;
    await listProjects();
    person.value = { name: "Signed in", roles: null };
  }
  signInNotice.value = null;
}

async function headers(): Promise<Record<string, string>> {
  const settings = config.value;
  if (settings?.authMode === "local") {
    const key = sessionStorage.getItem(KEY);
    return key ? { "Ocp-Apim-Subscription-Key": key } : {};
  }
  if (settings?.authMode !== "entra") return {};
  const token = await tokenFor(settings, "use");
  return token ? { authorization: `Bearer ${token}` } : {};
}

function expire(): void {
  if (person.value) signInNotice.value = "Your sign-in has ended. Sign in again; unsaved decisions are kept.";
  forget();
}

function forget(): void {
  sessionStorage.removeItem(KEY);
  person.value = null;
}
