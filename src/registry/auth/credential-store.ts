import { isPlainObject } from '@sindresorhus/is';
import { type Abortable, LandfallError } from '../../errors.js';
import { type AuthFile, entryCredentials, helperOf, parseAuthFile } from './auth-file.js';
import { authFilePlaces, type AuthFileOptions } from './auth-file-places.js';
import { parseAuthKey, sameAuthKey } from './auth-key.js';
import { CredentialHelper } from './credential-helper.js';
import type { Credentials } from './credentials.js';
import { editAuthFile } from './edit-auth-file.js';
import type { LoginTarget } from './login-target.js';
import { readAuthFile } from './read-auth-file.js';

export interface CredentialStoreOptions extends AuthFileOptions, Abortable {
  /** Until a credential helper must have answered, in milliseconds. Default 60,000. */
  readonly helperTimeoutMs?: number;
}

/** Where credentials are kept: with a helper, which keeps them in its own way, or in a file, as plain text. */
export type KeptAt =
  | {
      readonly kept: 'helper';
      readonly helper: string;
      /** Of the file that names it. */ readonly path: string;
    }
  | { readonly kept: 'file'; readonly path: string; /** In that file. */ readonly key: string };

/**
 * Keeps credentials where {@link defaultCredentials} looks first: in `authFile`, `$REGISTRY_AUTH_FILE` or docker's
 * config.json, or with the credential helper that this file names for the registry. What is for a path of a registry
 * always goes to the file, since helpers know whole registries only. What the file had for the same before is replaced,
 * under whichever of its names.
 *
 * @throws {LandfallError} INVALID_CONFIG, ABORTED
 */
export async function storeCredentials(
  target: LoginTarget,
  credentials: Credentials,
  options: CredentialStoreOptions = {},
): Promise<KeptAt> {
  const [path] = authFilePlaces(options).paths;
  const file = (await readAuthFile(path)) ?? parseAuthFile('', path);
  const helper = helperFor(file, target, options);
  if (helper !== undefined) {
    await helper.store(target.registry, credentials, options);
    // Nothing of it may stay behind in plain text.
    if (hasEntry(file, target)) await putEntry(path, target, {}, options);
    return { kept: 'helper', helper: helper.program, path };
  }
  return keptInFile(file, await putEntry(path, target, entryOf(credentials), options));
}

export interface Erased {
  /** Where there were credentials, and are none now. */
  readonly removed: readonly KeptAt[];
  /** Where there still are some for the same, which are used now. */
  readonly remaining: readonly KeptAt[];
}

/**
 * Forgets credentials in the place where {@link storeCredentials} keeps them. With `everywhere`, also those for paths
 * below, and in all other places where {@link defaultCredentials} looks.
 *
 * @throws {LandfallError} INVALID_CONFIG, ABORTED
 */
export async function eraseCredentials(
  target: LoginTarget,
  options: CredentialStoreOptions & { readonly everywhere?: boolean } = {},
): Promise<Erased> {
  const { everywhere = false } = options;
  const { paths } = authFilePlaces(options);
  const removed: KeptAt[] = [];
  const remaining: KeptAt[] = [];
  for (const [index, path] of paths.entries()) {
    const file = await readAuthFile(path);
    if (file === undefined) continue;
    if (index === 0 || everywhere) removed.push(...(await eraseIn(file, target, everywhere, options)));
    else remaining.push(...(await keptIn(file, target, options)));
  }
  return { removed, remaining };
}

async function eraseIn(
  file: AuthFile,
  target: LoginTarget,
  below: boolean,
  options: CredentialStoreOptions,
): Promise<KeptAt[]> {
  const goes = (key: string): boolean => sameAuthKey(key, target.key) || (below && isBelow(key, target));
  const keys = Object.keys(file.auths).filter(goes);
  const removed = keys.filter((key) => holdsSomething(file, key)).map((key) => keptInFile(file, key));
  if (keys.length > 0) {
    const edit = (document: Record<string, unknown>): boolean => {
      const auths = authsOf(document);
      const doomed = Object.keys(auths).filter(goes);
      for (const key of doomed) Reflect.deleteProperty(auths, key);
      return doomed.length > 0;
    };
    await editAuthFile(file.path, edit, options);
  }
  // Last, since it may be out of order: what lies in the file is gone by then.
  const helper = helperFor(file, target, options);
  if (helper === undefined || !(await helper.erase(target.registry, options))) return removed;
  return [...removed, { kept: 'helper', helper: helper.program, path: file.path }];
}

async function keptIn(
  file: AuthFile,
  target: LoginTarget,
  options: CredentialStoreOptions,
): Promise<KeptAt[]> {
  const helper = helperFor(file, target, options);
  // Another file's helper that is out of order is no reason to fail here.
  const known = await helper?.get(target.registry, options).catch(() => undefined);
  return [
    ...(helper === undefined || known === undefined
      ? []
      : [{ kept: 'helper', helper: helper.program, path: file.path } as const]),
    ...Object.keys(file.auths)
      .filter((key) => sameAuthKey(key, target.key) && holdsSomething(file, key))
      .map((key) => keptInFile(file, key)),
  ];
}

function helperFor(
  file: AuthFile,
  { registry, path }: LoginTarget,
  { env = process.env, helperTimeoutMs }: CredentialStoreOptions,
): CredentialHelper | undefined {
  const suffix = path === '' ? helperOf(file, registry) : undefined;
  if (suffix === undefined) return undefined;
  return new CredentialHelper(suffix, file.path, { env, timeoutMs: helperTimeoutMs });
}

/** A damaged entry is something too: it is to go. */
function holdsSomething(file: AuthFile, key: string): boolean {
  try {
    return entryCredentials(file, key) !== undefined;
  } catch {
    return true;
  }
}

function hasEntry({ auths }: AuthFile, { key }: LoginTarget): boolean {
  return Object.keys(auths).some((name) => sameAuthKey(name, key));
}

function isBelow(key: string, { registry, path }: LoginTarget): boolean {
  const parsed = parseAuthKey(key);
  return parsed.host === registry && (path === '' || parsed.path.startsWith(`${path}/`));
}

function keptInFile({ path }: AuthFile, key: string): KeptAt {
  return { kept: 'file', path, key };
}

/** One entry, under the first of the names that are there or the usual one: others for the same would hide it. */
async function putEntry(
  path: string,
  { key: usual }: LoginTarget,
  entry: object,
  options: CredentialStoreOptions,
): Promise<string> {
  let key = usual;
  const edit = (document: Record<string, unknown>): boolean => {
    const auths = authsOf(document);
    const [first = usual, ...others] = Object.keys(auths).filter((name) => sameAuthKey(name, usual));
    for (const other of others) Reflect.deleteProperty(auths, other);
    auths[first] = entry;
    document['auths'] = auths;
    key = first;
    return true;
  };
  await editAuthFile(path, edit, options);
  return key;
}

function authsOf(document: Record<string, unknown>): Record<string, unknown> {
  const auths = document['auths'];
  return isPlainObject(auths) ? auths : {};
}

function entryOf(credentials: Credentials): object {
  if ('identityToken' in credentials) return { identitytoken: credentials.identityToken };
  if ('registryToken' in credentials) return { registrytoken: credentials.registryToken };
  const { username, password } = credentials;
  // It is cut at the first colon.
  if (username === '' || username.includes(':')) {
    throw new LandfallError('INVALID_CONFIG', 'a user name that is empty or has a colon cannot be kept', {
      hint: 'Check the name of the user.',
    });
  }
  return { auth: Buffer.from(`${username}:${password}`).toString('base64') };
}
