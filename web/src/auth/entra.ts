/** Sign-in with Microsoft Entra ID. The library is fetched only where it is used. */

import type { AccountInfo, IPublicClientApplication } from "@azure/msal-browser";
import type { Config } from "./session";

let ready: Promise<IPublicClientApplication> | null = null;

const scopes = (config: Config): string[] => (config.scope ? [config.scope] : []);

/** A token for the API, or null when nobody is signed in. "use" goes to the sign-in page where it must. */
export async function tokenFor(config: Config, purpose: "resume" | "use"): Promise<string | null> {
  const client = await application(config);
  const account = accountOf(client);
  if (!account) return null;
  try {
    return (await client.acquireTokenSilent({ scopes: scopes(config), account })).accessToken;
  } catch (error) {
    if (purpose === "resume") return null;
    await client.acquireTokenRedirect({ scopes: scopes(config), account });
    throw error;
  }
}

export async function signInWithEntra(config: Config): Promise<void> {
  const client = await application(config);
  await client.loginRedirect({ scopes: scopes(config) });
}

function accountOf(client: IPublicClientApplication): AccountInfo | null {
  return client.getActiveAccount() ?? client.getAllAccounts()[0] ?? null;
}

function application(config: Config): Promise<IPublicClientApplication> {
  ready ??= open(config);
  return ready;
}

async function open(config: Config): Promise<IPublicClientApplication> {
  if (!config.clientId)
    throw new Error("The server does not say which application to sign in with (clientId).");
  const { createStandardPublicClientApplication } = await import("@azure/msal-browser");
  const client = await createStandardPublicClientApplication({
    auth: {
      clientId: config.clientId,
      authority:
        config.authority ?? `https://login.microsoftonline.com/${config.tenantId ?? "organizations"}`,
      redirectUri: `${window.location.origin}/studio/`,
    },
    cache: { cacheLocation: "sessionStorage" },
  });
  const result = await client.handleRedirectPromise();
  if (result) client.setActiveAccount(result.account);
  return client;
}
