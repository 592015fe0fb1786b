import { eraseCredentials, type KeptAt } from '../../registry/auth/credential-store.js';
import { parseLoginTarget } from '../../registry/auth/login-target.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { printable } from '../format/printable.js';

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
