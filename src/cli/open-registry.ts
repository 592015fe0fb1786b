import { readFile } from 'node:fs/promises';
import { LandfallError, systemCode } from '../errors.js';
import {
  type Credentials,
  type CredentialsProvider,
  defaultCredentials,
  RegistryClient,
  type RequestEvent,
} from '../registry/index.js';
import { parseReference } from '../spec/index.js';
import type { CommandContext } from './command-context.js';
import { formatDuration } from './format/duration.js';
import { readPassword } from './read-password.js';
import { version } from './version.js';

/**
 * The remote side as the options ask for it, for the registries of these references.
 *
 * @throws {LandfallError} INVALID_CONFIG (options that cannot hold together, a file that cannot be read)
 */
export async function openRegistry(
  context: CommandContext,
  references: readonly string[],
): Promise<RegistryClient> {
  const { settings, log } = context;
  return new RegistryClient({
    plainHttp: settings.plainHttp,
    insecure: settings.insecure,
    ...(settings.ca === undefined ? {} : { ca: await readCa(settings.ca) }),
    credentials: await credentialsFor(context, references),
    userAgent: `landfall/${version()}`,
    onRequest: (event) => {
      log.debug(requestLine(event));
    },
  });
}

async function readCa(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw new LandfallError(
      'INVALID_CONFIG',
      `${file} cannot be read (${systemCode(cause) ?? 'unknown error'})`,
      {
        cause,
        hint: 'Give a PEM file with --ca.',
      },
    );
  }
}

async function credentialsFor(
  context: CommandContext,
  references: readonly string[],
): Promise<CredentialsProvider> {
  const { settings, env } = context;
  if (settings.creds === undefined) return defaultCredentials({ authFile: settings.authfile, env });
  const registries = [...new Set(references.flatMap(registryOf))];
  if (registries.length > 1) {
    throw new LandfallError(
      'INVALID_CONFIG',
      `--creds is for one registry, not for ${registries.join(' and ')}`,
      {
        hint: 'Pull from one registry at a time, or use --authfile.',
      },
    );
  }
  const credentials = await parseCredentials(settings.creds, context);
  return (registry) => Promise.resolve(registries.includes(registry) ? credentials : undefined);
}

/** A reference that is none fails by itself later, and asks no registry. */
function registryOf(reference: string): string[] {
  try {
    return [parseReference(reference).registry];
  } catch {
    return [];
  }
}

async function parseCredentials(text: string, context: CommandContext): Promise<Credentials> {
  const colon = text.indexOf(':');
  const username = colon < 0 ? text : text.slice(0, colon);
  if (username === '') {
    throw new LandfallError('INVALID_CONFIG', '--creds does not name a user', {
      hint: 'Write --creds USER:PASSWORD, or --creds USER with the password on standard input.',
    });
  }
  return { username, password: colon < 0 ? await readPassword(context) : text.slice(colon + 1) };
}

function requestLine({ method, url, attempt, durationMs, status, failure }: RequestEvent): string {
  const answered = status ?? failure ?? 'no answer';
  return `${method} ${url} ${answered} ${formatDuration(durationMs)}${attempt > 1 ? ` (attempt ${attempt})` : ''}`;
}
