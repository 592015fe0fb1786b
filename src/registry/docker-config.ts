import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';

import is from '@sindresorhus/is';

import { LandfallError, systemCode } from '../errors.js';
import type { Credentials, CredentialsProvider } from './credentials.js';

export interface DefaultCredentialsOptions {
  /** As docker's config.json or containers' auth.json; it must exist. Default: where `REGISTRY_AUTH_FILE` and docker look. */
  readonly authFile?: string | undefined;
  /** Default `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/**
 * Credentials as other tools have stored them: from `authFile`; else from `$REGISTRY_AUTH_FILE`; else from
 * `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`. The file is read when a registry asks, so a login while
 * a program runs is noticed.
 *
 * Errors of the provider: INVALID_CONFIG for a file that cannot be read or is not of this form.
 */
export function defaultCredentials(options: DefaultCredentialsOptions = {}): CredentialsProvider {
  const env = options.env ?? process.env;
  const chosen = options.authFile ?? nonEmpty(env['REGISTRY_AUTH_FILE']);
  const folder = nonEmpty(env['DOCKER_CONFIG']) ?? join(nonEmpty(env['HOME']) ?? homedir(), '.docker');
  return async (registry) => {
    const file = chosen ?? join(folder, 'config.json');
    const text = await readIfPresent(file, options.authFile !== undefined);
    return text === undefined ? undefined : findCredentials(text, file, registry);
  };
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}

async function readIfPresent(file: string, mustExist: boolean): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    if (!mustExist && systemCode(cause) === 'ENOENT') return undefined;
    throw new LandfallError(
      'INVALID_CONFIG',
      `${file} cannot be read (${systemCode(cause) ?? 'unknown error'})`,
      {
        cause,
        hint: 'Give another file with --authfile, or make this one readable.',
      },
    );
  }
}

function findCredentials(text: string, file: string, registry: string): Credentials | undefined {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    // Without the cause: its message may quote what the file holds.
    throw malformed(file, 'is not JSON');
  }
  if (!is.plainObject(document)) throw malformed(file, 'is not an object');
  const auths = document['auths'];
  if (auths === undefined || auths === null) return undefined;
  if (!is.plainObject(auths)) throw malformed(file, 'has auths that are not an object');
  const wanted = hostOfKey(registry);
  const keys = Object.keys(auths);
  // The name itself, before a key that an old docker wrote as a URL.
  const key = keys.find((k) => k === registry) ?? keys.find((k) => hostOfKey(k) === wanted);
  return key === undefined ? undefined : credentialsOf(auths[key], file, key);
}

const DOCKER_HUB: ReadonlySet<string> = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io']);

/** `quay.io` of `https://quay.io/v1/`. A key with any other path is for some repositories only and names no host. */
function hostOfKey(key: string): string {
  const host = key.replace(/^https?:\/\//, '').replace(/\/(?:v[12]\/?)?$/, '');
  return DOCKER_HUB.has(host) ? 'docker.io' : host;
}

function credentialsOf(entry: unknown, file: string, key: string): Credentials | undefined {
  if (!is.plainObject(entry)) throw malformed(file, `has an entry for ${key} that is not an object`);
  const { registrytoken, identitytoken, auth } = entry;
  if (is.nonEmptyString(registrytoken)) return { registryToken: registrytoken };
  if (is.nonEmptyString(identitytoken)) return { identityToken: identitytoken };
  if (is.nonEmptyString(auth)) return decodeAuth(auth, file, key);
  const { username, password } = entry;
  // An empty entry says that a helper knows, or that somebody logged out.
  if (!is.nonEmptyString(username) || !is.nonEmptyString(password)) return undefined;
  return fromPair(username, password);
}

function decodeAuth(auth: string, file: string, key: string): Credentials {
  const text = Buffer.from(auth, 'base64').toString();
  const colon = text.indexOf(':');
  if (colon < 1) throw malformed(file, `has an auth for ${key} that is not USER:PASSWORD in base64`);
  // Docker once padded passwords with NULs.
  return fromPair(text.slice(0, colon), text.slice(colon + 1).replace(/\0+$/, ''));
}

/** Docker's helpers give an identity token as the password of a user of this name. */
function fromPair(username: string, password: string): Credentials {
  return username === '<token>' ? { identityToken: password } : { username, password };
}

function malformed(file: string, fault: string): LandfallError<'INVALID_CONFIG'> {
  return new LandfallError('INVALID_CONFIG', `${file} ${fault}`, {
    hint: 'Mend the file, or log in again with the tool that wrote it.',
  });
}
