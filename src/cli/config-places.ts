import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { LandfallError } from '../errors.js';
import type { ConfigScope } from './origin.js';

/** A place where a configuration file is looked for. */
export interface ConfigPlace {
  /** Absolute. */
  readonly path: string;
  readonly scope: ConfigScope;
  /** Whether there is something. What lies below a directory that this user may not enter counts as absent. */
  readonly isThere: boolean;
}

export const SYSTEM_CONFIG = '/etc/landfall/config.toml';

/**
 * Where configuration files are looked for, the one that counts most last: the one that is named, alone; else the system's
 * and the user's.
 *
 * @param named by `--config` or `$LANDFALL_CONFIG`, relative to the working directory
 * @throws {LandfallError} INVALID_CONFIG for a name that is empty
 */
export function configPlaces(
  named: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
  system: string = SYSTEM_CONFIG,
): readonly ConfigPlace[] {
  if (named === '') {
    throw new LandfallError('INVALID_CONFIG', 'the name of the configuration file is empty', {
      hint: 'Name a file with --config, or /dev/null for none.',
    });
  }
  if (named !== undefined) {
    const path = resolve(named);
    // What is named has to be there; this one is known to be empty.
    return [{ path, scope: 'named', isThere: path !== '/dev/null' }];
  }
  const home = given(env['XDG_CONFIG_HOME']) ?? join(homeOf(env), '.config');
  return [placeOf(system, 'system'), placeOf(resolve(home, 'landfall/config.toml'), 'user')];
}

/** The user's home directory. */
export function homeOf(env: Readonly<Record<string, string | undefined>>): string {
  return given(env['HOME']) ?? homedir();
}

function placeOf(path: string, scope: ConfigScope): ConfigPlace {
  return { path, scope, isThere: existsSync(path) };
}

function given(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}
