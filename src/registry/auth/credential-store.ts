import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import {
  chown,
  type FileHandle,
  mkdir,
  open,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  stat,
} from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { isPlainObject } from '@sindresorhus/is';
import { type Abortable, LandfallError, systemCode } from '../../errors.js';
import { parseReference } from '../../spec/index.js';
import { quoted } from '../../spec/index.js';
import { lock } from '../../system/index.js';
import {
  type AuthFile,
  type AuthFileOptions,
  authFilePlaces,
  entryCredentials,
  helperOf,
  parseAuthFile,
  parseAuthKey,
  readAuthFile,
  sameAuthKey,
  unreadable,
} from './auth-file.js';
import { CredentialHelper } from './credential-helper.js';
import { type Credentials, DOCKER_HUB_KEY } from './credentials.js';

export interface CredentialStoreOptions extends AuthFileOptions, Abortable {
  /** Until a credential helper must have answered, in milliseconds. Default 60,000. */
  readonly helperTimeoutMs?: number;
}

/**
 * Where credentials are kept: with a helper, which keeps them in its own way, or in a file, as plain text.
 */
export type KeptAt =
  | {
      readonly kept: 'helper';
      readonly helper: string;
      /** Of the file that names it. */ readonly path: string;
    }
  | { readonly kept: 'file'; readonly path: string; /** In that file. */ readonly key: string };

/**
 * Keeps credentials where {@link defaultCredentials} looks first: in `authFile`, `$REGISTRY_AUTH_FILE` or
 * docker's config.json, or with the credential helper that this file names for the registry. What is for a
 * path of a registry always goes to the file, since helpers know whole registries only. What the file had for
 * the same before is replaced, under whichever of its names.
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
 * Forgets credentials in the place where {@link storeCredentials} keeps them. With `everywhere`, also those
 * for paths below, and in all other places where {@link defaultCredentials} looks.
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

/**
 * One entry, under the first of the names that are there or the usual one: others for the same would hide it.
 */
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

/** What an edit does to the parsed file; false leaves the file as it is. */
export type Edit = (document: Record<string, unknown>) => boolean;

/** As docker indents it. */
const DEFAULT_INDENT = '\t';
/** Another tool that writes all the time would be a loop of its own. */
const ATTEMPTS = 10;
const MAX_LINKS = 40;

/**
 * Changes an auth file, or makes it: mode 0600, in a directory that gets 0700 if it is made. Keys that the
 * edit does not touch stay, in their order and with the file's indentation. The new content takes the place
 * of the old in one step, behind symbolic links if there are any, and is on disk when this returns.
 *
 * Two at once lose nothing. Processes of landfall take turns, by an flock on the directory. Docker and others
 * take no lock, so the file is read again just before the rename, and if it changed meanwhile the edit is
 * made again.
 *
 * @throws {LandfallError} INVALID_CONFIG: not of the form that can be written, not readable, not writable;
 *   ABORTED
 */
export async function editAuthFile(path: string, edit: Edit, options: Abortable = {}): Promise<boolean> {
  try {
    const target = await behindLinks(resolve(path));
    await makePrivateDirectory(dirname(target));
    return await inTurn(dirname(target), () => editInPlace(target, edit), options);
  } catch (cause) {
    if (cause instanceof LandfallError) throw cause;
    throw new LandfallError(
      'INVALID_CONFIG',
      `${path} cannot be written (${systemCode(cause) ?? 'unknown error'})`,
      {
        cause,
        hint: 'Name a file that you may write with --authfile.',
        details: { path },
      },
    );
  }
}

async function editInPlace(path: string, edit: Edit): Promise<boolean> {
  for (let attempt = 1; ; attempt += 1) {
    const before = await contentOf(path);
    const document = parseWritable(before ?? '', path);
    if (!edit(document)) return false;
    const text = `${JSON.stringify(document, undefined, indentOf(before))}${before?.endsWith('\n') === false ? '' : '\n'}`;
    const unchanged = async (): Promise<boolean> =>
      attempt === ATTEMPTS || (await contentOf(path)) === before;
    if (await replace(path, text, unchanged)) return true;
  }
}

function parseWritable(text: string, path: string): Record<string, unknown> {
  // Refuses what is not of its form, before anything is lost.
  if (parseAuthFile(text, path).writable)
    return text.trim() === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
  throw new LandfallError('INVALID_CONFIG', `${path} is of a form that is read, but not written`, {
    hint: 'Name another file with --authfile.',
    details: { path },
  });
}

/**
 * Puts a new file in the place of the old; false, and nothing done, if the old one is no longer what it was.
 */
async function replace(path: string, text: string, unchanged: () => Promise<boolean>): Promise<boolean> {
  const temporary = join(dirname(path), `.${randomUUID()}.tmp`);
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await keepOwner(path, temporary);
    if (!(await unchanged())) {
      await rm(temporary, { force: true });
      return false;
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await withDirectory(dirname(path), (directory) => directory.sync());
  return true;
}

/** Root may log in for another user, as with sudo. */
async function keepOwner(from: string, to: string): Promise<void> {
  const [old, fresh] = await Promise.all([stat(from).catch(() => undefined), stat(to)]);
  if (old !== undefined && (old.uid !== fresh.uid || old.gid !== fresh.gid)) {
    await chown(to, old.uid, old.gid).catch(() => undefined);
  }
}

async function contentOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return undefined;
    throw unreadable(path, cause);
  }
}

function indentOf(text: string | undefined): string {
  return /^[{[]\r?\n([ \t]+)/.exec(text?.trimStart() ?? '')?.[1] ?? DEFAULT_INDENT;
}

/** The file that a path leads to, which need not exist: a link may come before what it points to. */
async function behindLinks(path: string, links = 0): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT' || links === MAX_LINKS) throw error;
  }
  const target = await readlink(path).catch(() => undefined);
  return target === undefined ? path : await behindLinks(resolve(dirname(path), target), links + 1);
}

/**
 * Node's own recursive mkdir never ends where the kernel answers ENOENT below a directory that exists, as in
 * /proc.
 */
async function makePrivateDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, 0o700);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT' || dirname(path) === path) throw error;
    await makePrivateDirectory(dirname(path));
    await mkdir(path, 0o700);
  }
}

async function inTurn<T>(path: string, action: () => Promise<T>, options: Abortable): Promise<T> {
  return await withDirectory(path, async (directory) => {
    try {
      await lock(directory.fd, options);
    } catch (error) {
      // Some network file systems lock nothing; the second reading is what is left.
      if (error instanceof LandfallError && error.code === 'ABORTED') throw error;
    }
    return await action();
  });
}

async function withDirectory<T>(path: string, action: (directory: FileHandle) => Promise<T>): Promise<T> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    return await action(directory);
  } finally {
    await directory.close();
  }
}

/** The target of a login: a registry, or the repositories below a path of it. */
export interface LoginTarget {
  /** As references name it: `docker.io`. */
  readonly registry: string;
  /** `team/app`; empty for the whole registry. */
  readonly path: string;
  /** `quay.io/team`, for people. */
  readonly name: string;
  /** The key in an auth file, in the form that docker too finds. */
  readonly key: string;
}

/**
 * Reads `docker.io`, `https://quay.io`, `https://index.docker.io/v1/`, `127.0.0.1:5000`, `quay.io/team`.
 *
 * @throws {LandfallError} INVALID_CONFIG
 */
export function parseLoginTarget(text: string): LoginTarget {
  const { host, path } = parseAuthKey(text);
  const name = path === '' ? host : `${host}/${path}`;
  if (!namesRepositories(host, path)) {
    // What may hold a password is not repeated.
    const shown = text.includes('@') ? 'This' : quoted(text);
    throw new LandfallError('INVALID_CONFIG', `${shown} is not the address of a registry`, {
      hint: 'Write HOST, HOST:PORT or HOST/PATH, such as quay.io or quay.io/team.',
    });
  }
  return { registry: host, path, name, key: name === 'docker.io' ? DOCKER_HUB_KEY : name };
}

/** Whether references can name something there: else nothing would ever use the entry. */
function namesRepositories(host: string, path: string): boolean {
  try {
    const { registry, tag, digest } = parseReference(`${host}/${path === '' ? '' : `${path}/`}x`);
    return registry === host && tag === undefined && digest === undefined;
  } catch {
    return false;
  }
}
