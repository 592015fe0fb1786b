import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Writes `docker-credential-NAME` into a directory, a shell script. The action is its `$1`, and what it is
 * given stands on its standard input.
 */
export async function placeHelper(directory: string, name: string, script: string): Promise<void> {
  const path = join(directory, `docker-credential-${name}`);
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
}

/**
 * A helper that keeps one set of credentials in `FILE`, and notes in `LOG` how it was called and what it was
 * given.
 */
export async function placeKeepingHelper(
  directory: string,
  name: string,
): Promise<{ kept: () => Promise<string>; calls: () => Promise<string[]> }> {
  const file = join(directory, `${name}.kept`);
  const log = join(directory, `${name}.log`);
  await placeHelper(
    directory,
    name,
    `given=$(cat)
printf '%s %s\\n' "$*" "$given" >> '${log}'
case "$1" in
  store) printf '%s' "$given" > '${file}' ;;
  get)
    if grep -qF "\\"$given\\"" '${file}' 2> /dev/null; then cat '${file}'; else
      echo 'credentials not found in native keychain'; exit 1
    fi ;;
  erase) rm -f '${file}' ;;
esac`,
  );
  return {
    kept: async () => await readFile(file, 'utf8').catch(() => ''),
    calls: async () => (await readFile(log, 'utf8').catch(() => '')).split('\n').filter(Boolean),
  };
}
