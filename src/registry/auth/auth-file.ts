import { isNonEmptyString, isPlainObject } from '@sindresorhus/is';
import { LandfallError } from '../../errors.js';
import { parseAuthKey } from './auth-key.js';
import type { Credentials } from './credentials.js';

/** What a file says of credentials, whichever of its forms it has. Entries are looked into when they are needed. */
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
 * Reads docker's config.json, containers' auth.json, a Kubernetes secret of a registry in JSON (the object, or what it
 * holds under `.dockerconfigjson`), or docker's old `.dockercfg`, which is the `auths` alone.
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
  // An empty entry says that a helper knows, or that somebody logged out.
  if (!isNonEmptyString(username) || !isNonEmptyString(password)) return undefined;
  return fromPair(username, password);
}

/** `USER:PASSWORD` in base64, as an entry's `auth`; undefined when it is not. */
export function decodeAuth(auth: string): Credentials | undefined {
  const text = Buffer.from(auth, 'base64').toString();
  const colon = text.indexOf(':');
  if (colon < 1) return undefined;
  // Docker once padded passwords with NULs.
  return fromPair(text.slice(0, colon), text.slice(colon + 1).replace(/\0+$/, ''));
}

/** Docker's helpers give an identity token as the password of a user of this name. */
export const TOKEN_USER = '<token>';

/** A user and a password, or the token that stands in its place. */
export function fromPair(username: string, password: string): Credentials {
  return username === TOKEN_USER ? { identityToken: password } : { username, password };
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
