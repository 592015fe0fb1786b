import { homedir } from 'node:os';
import { join } from 'node:path';

/** What of a process decides where its store lies. */
export interface RootSurroundings {
  /** Default: `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The effective user; default: that of the process. */
  readonly uid?: number;
}

/**
 * Where the store lies by default: `$LANDFALL_ROOT`, else `/var/lib/landfall` for root, and
 * `$XDG_DATA_HOME/landfall` or `~/.local/share/landfall` for other users. A variable that is empty
 * counts as unset.
 *
 * @returns a path, which is absolute unless the variable is not
 */
export function defaultRoot({
  env = process.env,
  uid = process.geteuid?.() ?? 0,
}: RootSurroundings = {}): string {
  const named = given(env['LANDFALL_ROOT']);
  if (named !== undefined) return named;
  if (uid === 0) return '/var/lib/landfall';
  const dataHome = given(env['XDG_DATA_HOME']) ?? join(given(env['HOME']) ?? homedir(), '.local/share');
  return join(dataHome, 'landfall');
}

function given(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}
