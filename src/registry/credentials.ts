/** What a registry may be shown. An identity token buys bearer tokens; a registry token is one already. */
export type Credentials =
  | { readonly username: string; readonly password: string }
  | { readonly identityToken: string }
  | { readonly registryToken: string };

/** Finds the credentials for a registry as references name it: `docker.io`, `127.0.0.1:5000`. */
export type CredentialsProvider = (registry: string) => Promise<Credentials | undefined>;
