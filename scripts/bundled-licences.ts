import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The licences of the packages that some files were made of, as text to be passed on with them; each package once. */
export async function licencesOf(files: readonly string[]): Promise<string> {
  const packages = new Set(files.flatMap((file) => packageOf(file) ?? []));
  const texts = await Promise.all([...packages].sort().map(licenceOf));
  return texts.join(`\n${'-'.repeat(80)}\n\n`);
}

/** The directory of the package that a file is part of. */
function packageOf(file: string): string | undefined {
  return /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0];
}

async function licenceOf(directory: string): Promise<string> {
  const name = directory.slice(directory.lastIndexOf('/node_modules/') + '/node_modules/'.length);
  const file = (await readdir(directory)).find((entry) => /^licen[cs]e(\.|$)/i.test(entry));
  if (file === undefined) throw new Error(`the package ${name} has no licence that could be passed on`);
  return `${name}\n\n${await readFile(join(directory, file), 'utf8')}`;
}
