import {
  eraseCredentials,
  type KeptAt,
  type LoginTarget,
  parseLoginTarget,
  storeCredentials,
} from '../../registry/index.js';
import { askTerminal, readPassword } from '../images/ask-terminal.js';
import { answer, type CommandContext, type CommandResult } from '../output/command-context.js';
import { printable } from '../format/text.js';
import { openRegistry } from '../images/open-registry.js';
import { invalidConfig } from '../config/settings.js';

export interface LoginFlags {
  readonly username?: string;
  readonly passwordStdin?: boolean;
}

/** Shows credentials to a registry, and keeps them if they are good. */
export async function loginCommand(host: string, flags: LoginFlags, context: CommandContext): CommandResult {
  const { settings, env, uid, signal, log } = context;
  const target = parseLoginTarget(host);
  if (settings.creds !== undefined) {
    throw invalidConfig('--creds is for one command; login stores credentials', {
      hint: 'Use --username, and --password-stdin or the prompt.',
    });
  }
  const credentials = await credentialsFor(target, flags, context);
  await using client = await openRegistry(context, []);
  const { asked } = await client.checkCredentials(target.registry, credentials, { signal });
  const kept = await storeCredentials(target, credentials, { authFile: settings.authfile, env, uid, signal });
  if (!asked) log.warn(`${target.registry} asks for no credentials; they are stored unchecked`);
  if (kept.kept === 'file') {
    log.warn(`the password is stored unencrypted in ${kept.path}; a credential helper would keep it safer`);
  }
  const { username } = credentials;
  const json = { registry: target.name, username, stored: kept.kept, ...placeJson(kept) };
  answer(context, json, () => `logged in to ${target.name} as ${printable(username)} (${placeText(kept)})\n`);
  return 0;
}

async function credentialsFor(
  target: LoginTarget,
  { username: given, passwordStdin = false }: LoginFlags,
  context: CommandContext,
): Promise<{ username: string; password: string }> {
  if (given === '' || given?.includes(':') === true) {
    throw invalidConfig('--username is not the name of a user', {
      hint: 'Write --username USER; the password is asked for.',
    });
  }
  const terminal = context.stdin.isTTY === true;
  if (given === undefined && (passwordStdin || !terminal))
    throw invalidConfig('the user to log in is not named', { hint: 'Name the user with --username.' });
  if (!passwordStdin && !terminal) {
    throw invalidConfig('there is no terminal to ask for the password', {
      hint: `Pipe it: landfall login --username ${given ?? 'USER'} --password-stdin ${target.name} < password-file.`,
    });
  }
  const username = given ?? (await askTerminal(context, `Username for ${target.name}: `));
  if (passwordStdin)
    return { username, password: await readPassword(context, { option: '--password-stdin' }) };
  const question = `Password of ${printable(username)} for ${target.name}: `;
  return { username, password: await askTerminal(context, question, { hidden: true }) };
}

function placeJson(kept: KeptAt): object {
  return kept.kept === 'helper' ? { helper: kept.helper } : { path: kept.path };
}

function placeText(kept: KeptAt): string {
  return kept.kept === 'helper' ? `kept by ${kept.helper}` : `kept in ${printable(kept.path)}`;
}

export interface LogoutFlags {
  /** Everywhere that landfall looks, and for the paths below too. */
  readonly all?: boolean;
}

/** Forgets the credentials for a registry. That there are none is no failure: then it is as it should be. */
export async function logoutCommand(
  host: string,
  flags: LogoutFlags,
  context: CommandContext,
): CommandResult {
  const { settings, env, uid, signal, log } = context;
  const target = parseLoginTarget(host);
  const { removed, remaining } = await eraseCredentials(target, {
    authFile: settings.authfile,
    env,
    uid,
    signal,
    everywhere: flags.all ?? false,
  });
  for (const kept of remaining) {
    log.warn(`there are credentials for ${target.name} in ${placeOf(kept)} too; --all removes them`);
  }
  answer(
    context,
    { registry: target.name, removed: removed.map(toJson), remaining: remaining.map(toJson) },
    () => {
      if (removed.length === 0) return `not logged in to ${target.name}\n`;
      return `logged out of ${target.name} (removed from ${[...new Set(removed.map(placeOf))].map(printable).join(' and ')})\n`;
    },
  );
  return 0;
}

function toJson(kept: KeptAt): object {
  return kept.kept === 'helper'
    ? { stored: 'helper', helper: kept.helper }
    : { stored: 'file', path: kept.path, key: kept.key };
}

function placeOf(kept: KeptAt): string {
  return kept.kept === 'helper' ? kept.helper : kept.path;
}
