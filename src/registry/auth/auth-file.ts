import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { isNonEmptyString, isPlainObject } from '@sindresorhus/is';
import { SingleFlight } from '../../concurrency/index.js';
import { LandfallError, systemCode } from '../../errors.js';
import { CredentialHelper } from './credential-helper.js';
import { type Credentials, type CredentialsProvider, fromPair } from './credentials.js';

/**
 * What a file says of credentials, whichever of its forms it has. Entries are looked into when they are
 * needed.
 */
export interface AuthFile {
  readonly path: string;
  readonly auths: Readonly<Record<string, unknown>>;
  /** Of each host, the suffix of its helper's name. */
  readonly credHelpers: Readonly<Record<string, unknown>>;
  readonly credsStore: string | undefined;
  /** Whether it is an object with `auths`, which alone can be written. */
  readonly writable: boolean;
}

/**
 * Reads docker's config.json, containers' auth.json, a Kubernetes secret of a registry in JSON (the object,
 * or what it holds under `.dockerconfigjson`), or docker's old `.dockercfg`, which is the `auths` alone.
 *
 * @throws {LandfallError} INVALID_CONFIG, without a word of what the file holds
 */
export function parseAuthFile(text: string, path: string): AuthFile {
  const document = parseObject(text, path);
  const secret = secretContent(document, path);
  if (secret !== undefined) {
    const inner = parseObject(secret.text, path);
    const auths = secret.old ? inner : section(inner, 'auths', path);
    return { path, auths, credHelpers: {}, credsStore: undefined, writable: false };
  }
  const credHelpers = section(document, 'credHelpers', path);
  const credsStore = document['credsStore'];
  if (document['auths'] === undefined && Object.values(document).some(isEntry)) {
    return { path, auths: document, credHelpers: {}, credsStore: undefined, writable: false };
  }
  return {
    path,
    auths: section(document, 'auths', path),
    credHelpers,
    credsStore: isNonEmptyString(credsStore) ? credsStore : undefined,
    writable: true,
  };
}

/** The suffix of the helper that keeps a registry's credentials: its own, else the one that keeps all. */
export function helperOf({ path, credHelpers, credsStore }: AuthFile, registry: string): string | undefined {
  const wanted = parseAuthKey(registry).host;
  const key = Object.keys(credHelpers).find((name) => parseAuthKey(name).host === wanted);
  const own = key === undefined ? undefined : credHelpers[key];
  if (own !== undefined && typeof own !== 'string')
    throw malformed(path, `names a helper for ${key} that is no string`);
  // An empty name switches the other helper off.
  return own === undefined ? credsStore : own === '' ? undefined : own;
}

/** What an entry of `auths` holds; undefined where it is empty. @throws {LandfallError} INVALID_CONFIG */
export function entryCredentials({ path, auths }: AuthFile, key: string): Credentials | undefined {
  const entry = auths[key];
  if (!isPlainObject(entry)) throw malformed(path, `has an entry for ${key} that is not an object`);
  const { registrytoken, identitytoken, auth } = entry;
  if (isNonEmptyString(registrytoken)) return { registryToken: registrytoken };
  if (isNonEmptyString(identitytoken)) return { identityToken: identitytoken };
  if (isNonEmptyString(auth)) {
    const pair = decodeAuth(auth);
    if (pair === undefined)
      throw malformed(path, `has an auth for ${key} that is not USER:PASSWORD in base64`);
    return pair;
  }
  const { username, password } = entry;
  // An entry is empty where a helper has the credentials, and after a logout.
  if (!isNonEmptyString(username) || !isNonEmptyString(password)) return undefined;
  return fromPair(username, password);
}

/** `USER:PASSWORD` in base64, as an entry's `auth`; undefined when it is not. */
function decodeAuth(auth: string): Credentials | undefined {
  const text = Buffer.from(auth, 'base64').toString();
  const colon = text.indexOf(':');
  if (colon < 1) return undefined;
  // Docker once padded passwords with NULs.
  return fromPair(text.slice(0, colon), text.slice(colon + 1).replace(/\0+$/, ''));
}

function parseObject(text: string, path: string): Record<string, unknown> {
  // Docker takes an empty file for one that says nothing.
  if (text.trim() === '') return {};
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    // Without the cause: its message may quote what the file holds.
    throw malformed(path, 'is not JSON');
  }
  if (!isPlainObject(document)) throw malformed(path, 'is not an object');
  return document;
}

function section(document: Record<string, unknown>, name: string, path: string): Record<string, unknown> {
  const value = document[name];
  if (value === undefined || value === null) return {};
  if (!isPlainObject(value)) throw malformed(path, `has ${name} that are not an object`);
  return value;
}

/** What a Kubernetes Secret holds in its key for registries; undefined where the document is no Secret. */
function secretContent(
  document: Record<string, unknown>,
  path: string,
): { text: string; old: boolean } | undefined {
  if (document['kind'] !== 'Secret') return undefined;
  const data = section(document, 'data', path);
  const plain = section(document, 'stringData', path);
  for (const name of ['.dockerconfigjson', '.dockercfg']) {
    const old = name === '.dockercfg';
    const [text, encoded] = [plain[name], data[name]];
    if (typeof text === 'string') return { text, old };
    if (typeof encoded === 'string') return { text: Buffer.from(encoded, 'base64').toString(), old };
  }
  throw malformed(path, 'is a secret without .dockerconfigjson or .dockercfg');
}

function isEntry(value: unknown): boolean {
  return isPlainObject(value) && (typeof value['auth'] === 'string' || typeof value['username'] === 'string');
}

function malformed(path: string, fault: string): LandfallError<'INVALID_CONFIG'> {
  return new LandfallError('INVALID_CONFIG', `${path} ${fault}`, {
    hint: 'Mend the file, or log in again with the tool that wrote it.',
    details: { path },
  });
}

const DOCKER_HUB: ReadonlySet<string> = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io']);

/** What a key of an auth file is for: a registry, or what lies below a path of it. */
export interface AuthKey {
  /** As references name it, in lower case: `docker.io`, `127.0.0.1:5000`; or a pattern: `*.example.com`. */
  readonly host: string;
  /** `team/app`; empty for the whole registry. */
  readonly path: string;
}

/**
 * Reads a key: a host, a host and a path (containers-auth.json(5)), or a URL as docker wrote them, with the
 * API's version for a path. `https://quay.io/v2/team` is `quay.io/team`; without a scheme, `v2` is a name
 * like any other.
 */
export function parseAuthKey(key: string): AuthKey {
  const bare = key.replace(/^https?:\/\//i, '');
  const slash = bare.indexOf('/');
  const host = (slash === -1 ? bare : bare.slice(0, slash)).toLowerCase();
  const path = slash === -1 ? '' : bare.slice(slash + 1).replace(/\/+$/, '');
  const version = bare === key ? /^v[12]$/ : /^v[12](?:\/|$)/;
  return { host: DOCKER_HUB.has(host) ? 'docker.io' : host, path: path.replace(version, '') };
}

/** Whether both are for the same: the name alone may differ. */
export function sameAuthKey(one: string, other: string): boolean {
  const [a, b] = [parseAuthKey(one), parseAuthKey(other)];
  return a.host === b.host && a.path === b.path;
}

/**
 * The keys that are for a repository, or for the registry alone where none is named, the most specific first:
 * the longest path before a shorter one, the plain name before a URL, and each host's own keys before
 * patterns.
 */
export function matchingKeys(
  keys: readonly string[],
  registry: string,
  repository: string | undefined,
): string[] {
  const wanted = parseAuthKey(registry).host;
  const rank = (key: string): readonly [number, number, number] | undefined => {
    const { host, path } = parseAuthKey(key);
    const below = path === '' || repository === path || repository?.startsWith(`${path}/`) === true;
    if (!below || (host !== wanted && !matchesPattern(host, wanted))) return undefined;
    const plain = key === (path === '' ? registry : `${registry}/${path}`);
    return [host === wanted ? 0 : 1, -path.length, plain ? 0 : 1];
  };
  return keys
    .flatMap((key) => {
      const ranked = rank(key);
      return ranked === undefined ? [] : [{ key, ranked }];
    })
    .sort((a, b) => a.ranked[0] - b.ranked[0] || a.ranked[1] - b.ranked[1] || a.ranked[2] - b.ranked[2])
    .map(({ key }) => key);
}

const PATTERN = /[*?]|\[[^\]:]+\]/;

/** As Kubernetes' keyring: label by label, so that `*` never stands for a dot, and with the same port. */
function matchesPattern(pattern: string, host: string): boolean {
  if (!PATTERN.test(pattern)) return false;
  const source = pattern.replace(/\[\^?[^\]:]+\]|[\s\S]/g, (part) => {
    if (part === '*') return '[^.:]*';
    if (part === '?') return '[^.:]';
    if (part.length > 1) return `[${part.slice(1, -1).replace(/[\\[]/g, '\\$&')}]`;
    return part.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
  });
  try {
    return new RegExp(`^${source}$`).test(host);
  } catch {
    // A range the wrong way round: `[z-a]`.
    return false;
  }
}

/** How the system says that there is no such file, a parent that is a file included. */
const MISSING: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ENOTDIR']);

/**
 * The file, or undefined where there is none.
 *
 * @throws {LandfallError} INVALID_CONFIG: it cannot be read, or is not of its form
 */
export async function readAuthFile(path: string): Promise<AuthFile | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (MISSING.has(systemCode(cause))) return undefined;
    throw unreadable(path, cause);
  }
  return parseAuthFile(text, path);
}

export function unreadable(path: string, cause: unknown): LandfallError<'INVALID_CONFIG'> {
  const reason = systemCode(cause) ?? 'unknown error';
  return new LandfallError('INVALID_CONFIG', `${path} cannot be read (${reason})`, {
    cause,
    hint: 'Give another file with --authfile, or make this one readable.',
    details: { path },
  });
}

/** Where files with credentials are. */
export interface AuthFileOptions {
  /**
   * As docker's config.json or containers' auth.json. Default: where `REGISTRY_AUTH_FILE`, docker and
   * containers look.
   */
  readonly authFile?: string | undefined;
  /** Files of the same forms that are looked at after those, where they are there. */
  readonly furtherFiles?: readonly string[];
  /** Default `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The effective user, by default that of the process. */
  readonly uid?: number;
}

/** Where credentials are looked for, in order; the first is where a login is kept. */
export interface AuthFilePlaces {
  readonly paths: readonly [string, ...string[]];
  /** Whether an option names the first, so that its absence is an error. */
  readonly named: boolean;
}

/**
 * `authFile`, else `$REGISTRY_AUTH_FILE`, each alone; else docker's config.json, then auth.json of
 * containers' tools: the one that lasts until the machine is shut down, and the one that stays
 * (containers-auth.json(5)). Then `furtherFiles`.
 */
export function authFilePlaces(options: AuthFileOptions): AuthFilePlaces {
  const { env = process.env, furtherFiles = [] } = options;
  if (options.authFile !== undefined) return { paths: [options.authFile, ...furtherFiles], named: true };
  const chosen = nonEmpty(env['REGISTRY_AUTH_FILE']);
  if (chosen !== undefined) return { paths: [chosen, ...furtherFiles], named: false };
  const home = nonEmpty(env['HOME']) ?? homedir();
  const runtime = nonEmpty(env['XDG_RUNTIME_DIR']);
  const uid = options.uid ?? process.geteuid?.() ?? 0;
  return {
    paths: [
      join(nonEmpty(env['DOCKER_CONFIG']) ?? join(home, '.docker'), 'config.json'),
      runtime === undefined ? `/run/containers/${uid}/auth.json` : join(runtime, 'containers/auth.json'),
      join(nonEmpty(env['XDG_CONFIG_HOME']) ?? join(home, '.config'), 'containers/auth.json'),
      ...furtherFiles,
    ],
    named: false,
  };
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}

/** What the kubelet sends with a pull (CRI: `runtime.v1.AuthConfig`); empty strings are as good as none. */
export interface AuthConfig {
  readonly username?: string;
  readonly password?: string;
  /** `USER:PASSWORD` in base64. */
  readonly auth?: string;
  /** Where it is for one registry only: a host, or a URL. */
  readonly serverAddress?: string;
  readonly identityToken?: string;
  readonly registryToken?: string;
}

/**
 * A provider of these credentials: for the registry that `serverAddress` names, else for all.
 *
 * Of several kinds the first counts, in containerd's order: user and password, identity token, `auth`, and
 * then the registry token, which containerd does not know.
 *
 * @throws {LandfallError} INVALID_CONFIG for an `auth` that is not USER:PASSWORD in base64
 */
export function credentialsFromAuthConfig(config: AuthConfig): CredentialsProvider {
  const credentials = credentialsOf(config);
  const { serverAddress = '' } = config;
  const host = serverAddress === '' ? undefined : parseAuthKey(serverAddress).host;
  return (registry) =>
    Promise.resolve(host === undefined || host === parseAuthKey(registry).host ? credentials : undefined);
}

function credentialsOf(config: AuthConfig): Credentials | undefined {
  const { username = '', password = '', identityToken = '', auth = '', registryToken = '' } = config;
  if (username !== '' && password !== '') return { username, password };
  if (identityToken !== '') return { identityToken };
  if (auth !== '') {
    const pair = decodeAuth(auth);
    if (pair !== undefined) return pair;
    throw new LandfallError('INVALID_CONFIG', 'the auth of a pull is not USER:PASSWORD in base64', {
      hint: 'Check the image pull secret of the pod.',
    });
  }
  if (registryToken !== '') return { registryToken };
  return username === '' ? undefined : { username, password };
}

/** Where credentials are looked for. */
export interface DefaultCredentialsOptions extends AuthFileOptions {
  /** Until a credential helper must have answered, in milliseconds. Default 60,000. */
  readonly helperTimeoutMs?: number;
}

/**
 * Credentials as other tools have stored them: in `authFile`, which must exist; else in
 * `$REGISTRY_AUTH_FILE`; else in docker's config.json, then in containers' auth.json; then in `furtherFiles`.
 * The first that has an answer gives it. Within a file the entry with the longest path that the repository
 * lies below counts, then the registry's credential helper, then its own entry. Files and helpers are asked
 * each time, so a login while a program runs is noticed.
 *
 * Errors of the provider: INVALID_CONFIG for a file that cannot be read or is not of its form; and, where no
 * other place has the answer, for a credential helper that is missing or fails, as docker does: to go on
 * anonymously would only hide it until something private is asked for.
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
  // A helper knows whole registries only. Patterns come last: they name no registry of their own.
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
