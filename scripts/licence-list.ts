import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type LockedPackage, type PackageLock, productionPackages, rootOf } from './package-lock.js';

/** A package that is installed with landfall, and what it may be used under. */
export interface ListedLicence {
  readonly name: string;
  readonly versions: readonly string[];
  /** An SPDX expression; undefined where the package does not say it. */
  readonly licence: string | undefined;
  /** Where its text is; what has none says by its package.json alone which it is. */
  readonly text: string;
}

/** Files for one machine each, which come with a package and are under its licence: one line for all. */
const FOR_ONE_MACHINE = /^(@koromix\/koffi)-.*$/;

/** @param modules the node_modules where what the lock says is installed */
export async function licenceList(lock: PackageLock, modules: string): Promise<readonly ListedLicence[]> {
  const listed = new Map<string, ListedLicence>();
  for (const found of productionPackages(lock)) {
    const name = found.name.replace(FOR_ONE_MACHINE, '$1-*');
    const known = listed.get(name);
    const versions = [...new Set([...(known?.versions ?? []), found.version])].sort();
    const text = name === found.name ? await textOf(found, modules) : 'of koffi';
    listed.set(name, { name, versions, licence: found.licence, text: known?.text ?? text });
  }
  return [...listed.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function textOf({ path }: LockedPackage, modules: string): Promise<string> {
  const files = await readdir(join(modules, '..', path));
  return files.find((file) => /^(licen[cs]e|copying)/i.test(file)) ?? 'package.json';
}

/** The page that says it, as Prettier writes it. */
export function renderLicences(lock: PackageLock, list: readonly ListedLicence[]): string {
  const rows = [
    ['package', 'version', 'licence', 'text'],
    ...list.map(({ name, versions, licence = 'unknown', text }) => [
      name.replace('*', String.raw`\*`),
      versions.join(', '),
      licence,
      text,
    ]),
  ];
  const widths = rows[0]?.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0))) ?? [];
  const lines = rows.map((row) => `| ${row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(' | ')} |`);
  lines.splice(1, 0, `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`);
  return `# Licences

landfall itself is under ${rootOf(lock).licence ?? 'unknown'}: see [LICENSE](../LICENSE). These packages are installed with it,
each under a permissive licence, whose text is a file of the package. The command has copies of some of them:
\`dist/bin/LICENSES.txt\` has their texts, and \`landfall:bundled\` marks them in the bill of materials,
\`dist/sbom.cdx.json\`. \`npm run licences\` writes this page.

${lines.join('\n')}
`;
}
