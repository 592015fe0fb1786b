import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Option } from 'commander';
import { isLandfallError, LandfallError } from '../../errors.js';

/** Whose configuration file it is: the system's, the user's, or one that was named in place of both. */
export type ConfigScope = 'system' | 'user' | 'named';

/** Where the value of an option comes from. */
export type Origin =
  | { readonly from: 'option' }
  | { readonly from: 'environment'; readonly variable: string }
  | {
      readonly from: 'file';
      readonly scope: ConfigScope;
      readonly path: string;
      /** From 1. It is looked for only when it is asked for. */
      readonly line: () => number;
    }
  | { readonly from: 'default' };

/** Origins by the keys of a configuration file, such as `root` and `pull.platform`; what is not there is a default. */
export type Origins = ReadonlyMap<string, Origin>;

/** As it is told to people: `--root`, `$LANDFALL_ROOT`, `/etc/landfall/config.toml:3`, `default`. */
export function describeOrigin(origin: Origin, long: string): string {
  switch (origin.from) {
    case 'option':
      return long;
    case 'environment':
      return `$${origin.variable}`;
    case 'file':
      return `${origin.path}:${origin.line()}`;
    case 'default':
      return 'default';
  }
}

/** A value that an option has without having been typed. */
export interface GivenValue {
  /** As a configuration file calls it: `root`, `pull.platform`, `unpack-limit.layers`. */
  readonly key: string;
  readonly option: Option;
  /** What the option's parser made of it; of a table, only what the key names. */
  readonly value: unknown;
  /** What a file has it made of. */
  readonly texts?: readonly string[];
  readonly origin: Origin;
}

/** By their keys, each with the one that counts. */
export type GivenValues = ReadonlyMap<string, GivenValue>;

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

/**
 * Says of an option that is wrong, or does not go with another one, where it comes from if nobody typed it. Messages are for
 * people; what is found in none is no loss.
 */
export function withOrigins(error: unknown, origins: Origins): unknown {
  if (!isLandfallError(error) || error.code !== 'INVALID_CONFIG') return error;
  const said = `${error.message} ${error.hint}`;
  const told = [...origins].flatMap(([key, origin]) => {
    const long = `--${key.split('.').at(-1) ?? ''}`;
    if (origin.from === 'option' || !new RegExp(`${long}(?![\\w-])`).test(said)) return [];
    const place = describeOrigin(origin, long);
    return error.message.includes(place) ? [] : [`${long} comes from ${place}`];
  });
  if (told.length === 0) return error;
  return new LandfallError(error.code, `${error.message} (${told.join(', ')})`, {
    cause: error.cause,
    retryable: error.retryable,
    hint: error.hint,
    details: error.details,
  });
}
