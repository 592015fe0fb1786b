import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { output } from './bound-process.js';
import type { Programs } from './contract.js';

/** The programs that the benchmark starts, and the Debian package that has each. */
const PACKAGES: Readonly<Record<string, string>> = {
  'apt-get': 'apt',
  bash: 'bash',
  containerd: 'containerd',
  ctr: 'containerd',
  curl: 'curl',
  'docker-registry': 'docker-registry',
  'dpkg-deb': 'dpkg',
  gzip: 'gzip',
  igzip: 'isal',
  mmdebstrap: 'mmdebstrap',
  skopeo: 'skopeo',
  tar: 'tar',
  umoci: 'umoci',
  unpigz: 'pigz',
  unshare: 'util-linux',
  zstd: 'zstd',
};

/** The programs on PATH. */
export class ProgramsOnPath implements Programs {
  readonly #note: (text: string) => void;

  constructor(note: (text: string) => void) {
    this.#note = note;
  }

  find(program: string): string | undefined {
    const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
    const path = folders.map((folder) => join(folder, program)).find(isExecutable);
    if (path === undefined) this.#note(missing(program));
    return path;
  }

  have(...programs: readonly string[]): boolean {
    return programs.map((program) => this.find(program)).every((path) => path !== undefined);
  }
}

/** What to do about a program that is not on PATH. */
export function missing(program: string): string {
  const from = PACKAGES[program];
  return from === undefined ? `${program} is not here` : `${program} is not here: apt-get install ${from}`;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** A program's name with the first version that it tells of when asked with these arguments. */
export async function versionOf(program: string, args: readonly string[] = ['--version']): Promise<string> {
  const said = await output(program, args);
  return `${program} ${/\d+(?:\.\d+)+/.exec(said)?.[0] ?? 'of unknown version'}`;
}
