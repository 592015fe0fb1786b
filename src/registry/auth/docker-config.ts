import { SingleFlight } from '../../concurrency/index.js';
import { LandfallError } from '../../errors.js';
import {
  type AuthFile,
  type AuthFileOptions,
  authFilePlaces,
  entryCredentials,
  helperOf,
  matchingKeys,
  parseAuthKey,
  readAuthFile,
} from './auth-file.js';
import { CredentialHelper } from './credential-helper.js';
import type { Credentials, CredentialsProvider } from './credentials.js';

/** Where credentials are looked for. */
export interface DefaultCredentialsOptions extends AuthFileOptions {
  /** Until a credential helper must have answered, in milliseconds. Default 60,000. */
  readonly helperTimeoutMs?: number;
}

/**
 * Credentials as other tools have stored them: in `authFile`, which must exist; else in `$REGISTRY_AUTH_FILE`; else in
 * docker's config.json, then in containers' auth.json; then in `furtherFiles`. The first that has an answer gives it. Within a file the entry with
 * the longest path that the repository lies below counts, then the registry's credential helper, then its own entry.
 * Files and helpers are asked each time, so a login while a program runs is noticed.
 *
 * Errors of the provider: INVALID_CONFIG for a file that cannot be read or is not of its form; and, where no other place
 * has the answer, for a credential helper that is missing or fails, as docker does: to go on as nobody would only
 * hide it until something private is asked for.
 */
export function defaultCredentials(options: DefaultCredentialsOptions = {}): CredentialsProvider {
  const { paths, named } = authFilePlaces(options);
  // Many repositories of one registry may be wanted at one moment.
  const helped = new SingleFlight<string, Credentials | undefined>();
  const askHelper = async (
    suffix: string,
    file: string,
    registry: string,
  ): Promise<Credentials | undefined> => {
    const { env = process.env, helperTimeoutMs } = options;
    const helper = new CredentialHelper(suffix, file, { env, timeoutMs: helperTimeoutMs });
    return await helped.run(`${suffix} ${registry}`, (signal) => helper.get(registry, { signal }));
  };
  return async (registry, repository) => {
    const failures: unknown[] = [];
    const host = parseAuthKey(registry).host;
    for (const path of paths) {
      const file = await readAuthFile(path);
      if (file === undefined && named && path === paths[0]) throw absent(path);
      if (file === undefined) continue;
      const found = await findIn(file, registry, repository, async (suffix) => {
        try {
          return await askHelper(suffix, path, host);
        } catch (error) {
          failures.push(error);
          return undefined;
        }
      });
      if (found !== undefined) return found;
    }
    if (failures.length > 0) throw failures[0];
    return undefined;
  };
}

async function findIn(
  file: AuthFile,
  registry: string,
  repository: string | undefined,
  ask: (suffix: string) => Promise<Credentials | undefined>,
): Promise<Credentials | undefined> {
  const keys = matchingKeys(Object.keys(file.auths), registry, repository);
  const first = (candidates: readonly string[]): Credentials | undefined => {
    for (const key of candidates) {
      const found = entryCredentials(file, key);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  const { host } = parseAuthKey(registry);
  // A helper knows whole registries only. Patterns come last: they are nobody's own entry.
  const isNarrow = (key: string): boolean => parseAuthKey(key).path !== '' && parseAuthKey(key).host === host;
  const narrow = first(keys.filter(isNarrow));
  if (narrow !== undefined) return narrow;
  const suffix = helperOf(file, registry);
  const helped = suffix === undefined ? undefined : await ask(suffix);
  return helped ?? first(keys.filter((key) => !isNarrow(key)));
}

function absent(path: string): LandfallError<'INVALID_CONFIG'> {
  return new LandfallError('INVALID_CONFIG', `${path} cannot be read (ENOENT)`, {
    hint: 'Give another file with --authfile, or make this one readable.',
    details: { path },
  });
}
