import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';

/**
 * The licences of the packages that some files were made of, as text to be passed on with them; each package
 * once.
 */
export async function licencesOf(files: readonly string[]): Promise<string> {
  const packages = new Set(files.flatMap((file) => packageOf(file) ?? []));
  const texts = await Promise.all([...packages].sort().map(licenceOf));
  return texts.join(`\n${'-'.repeat(80)}\n\n`);
}

/** The places of the packages that some files were made of, as a lock in `root` has them. */
export function packagePathsOf(files: readonly string[], root: string): ReadonlySet<string> {
  return new Set(files.flatMap((file) => packageOf(file) ?? []).map((at) => relative(root, at)));
}

/** The directory of the package that a file is part of. */
function packageOf(file: string): string | undefined {
  return /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0];
}

function nameOf(directory: string): string {
  return directory.slice(directory.lastIndexOf('/node_modules/') + '/node_modules/'.length);
}

async function licenceOf(directory: string): Promise<string> {
  const name = nameOf(directory);
  const file = (await licenceIn(directory)) ?? (await sistersLicence(directory));
  if (file === undefined) throw new Error(`the package ${name} has no licence that could be passed on`);
  return `${name}\n\n${await readFile(file, 'utf8')}`;
}

async function licenceIn(directory: string): Promise<string | undefined> {
  const file = (await readdir(directory)).find((entry) => /^licen[cs]e(\.|$)/i.test(entry));
  return file === undefined ? undefined : join(directory, file);
}

/**
 * That of a package of the same scope, repository and licence, since some are published without the one that
 * lies beside them all.
 */
async function sistersLicence(directory: string): Promise<string | undefined> {
  const scope = dirname(directory);
  if (!basename(scope).startsWith('@')) return undefined;
  const origin = await originOf(directory);
  for (const sister of (await readdir(scope)).sort()) {
    const at = join(scope, sister);
    const file = (await originOf(at)) === origin ? await licenceIn(at) : undefined;
    if (file !== undefined) return file;
  }
  return undefined;
}

/** Where a package's source is from, and under which licence. */
async function originOf(directory: string): Promise<string> {
  const { repository, license } = JSON.parse(
    await readFile(join(directory, 'package.json'), 'utf8'),
  ) as Record<string, unknown>;
  return JSON.stringify([repository, license]);
}
