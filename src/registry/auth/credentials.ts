/** What a registry may be shown. An identity token buys bearer tokens; a registry token is one already. */
export type Credentials =
  | {
      /** As the registry knows it. */
      readonly username: string;
      /** Or a token that stands for one. */
      readonly password: string;
    }
  | {
      /** An OAuth2 refresh token (distribution: token authentication). */
      readonly identityToken: string;
    }
  | {
      /** Sent as it is, as a bearer token. */
      readonly registryToken: string;
    };

/**
 * Finds the credentials for a registry as references name it (`docker.io`, `127.0.0.1:5000`), and for one of
 * its repositories (`team/app`), since some stores keep several for one registry. Undefined where there are
 * none.
 */
export type CredentialsProvider = (registry: string, repository?: string) => Promise<Credentials | undefined>;

/** RFC 7617. */
export function basicAuthorization({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/** What no message may hold; short ones are left out, since they would be found in honest words. */
export function secretsOf(credentials: Credentials | undefined): string[] {
  return secretParts(credentials).filter((secret) => secret.length >= 4);
}

function secretParts(credentials: Credentials | undefined): string[] {
  if (credentials === undefined) return [];
  if ('identityToken' in credentials) return [credentials.identityToken];
  if ('registryToken' in credentials) return [credentials.registryToken];
  return [credentials.password, basicAuthorization(credentials).slice('Basic '.length)];
}

/** Docker's helpers give an identity token as the password of a user of this name. */
export const TOKEN_USER = '<token>';

/** A user and a password, or the token that stands in its place. */
export function fromPair(username: string, password: string): Credentials {
  return username === TOKEN_USER ? { identityToken: password } : { username, password };
}

/** Docker Hub's name in docker's own store of credentials. */
export const DOCKER_HUB_KEY = 'https://index.docker.io/v1/';
