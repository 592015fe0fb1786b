import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where files with credentials are. */
export interface AuthFileOptions {
  /** As docker's config.json or containers' auth.json. Default: where `REGISTRY_AUTH_FILE`, docker and containers look. */
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
  /** Whether somebody named the first for this very run, so that it is an error when it is missing. */
  readonly named: boolean;
}

/**
 * `authFile`, else `$REGISTRY_AUTH_FILE`, each alone; else docker's config.json, then auth.json of containers'
 * tools: the one that lasts until the machine is shut down, and the one that stays (containers-auth.json(5)). Then
 * `furtherFiles`.
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
