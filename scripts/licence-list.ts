import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { purlOf } from './bill-of-materials.js';
import { type LockedPackage, type PackageLock, rootOf } from './package-lock.js';

/** A package that comes with landfall, and what it may be used under. */
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

/**
 * @param bill the bill of materials, which says what comes with landfall
 * @param modules the node_modules where what the lock says is installed
 */
export async function licenceList(
  lock: PackageLock,
  bill: string,
  modules: string,
): Promise<readonly ListedLicence[]> {
  const { components } = JSON.parse(bill) as { readonly components: readonly { readonly purl: string }[] };
  const shipped = new Set(components.map(({ purl }) => purl));
  const listed = new Map<string, ListedLicence>();
  for (const found of [...lock.values()].filter((each) => shipped.has(purlOf(each)))) {
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

landfall itself is under ${rootOf(lock).licence ?? 'unknown'}: see [LICENSE](../LICENSE). These packages come with it, each under a permissive
licence, whose text is a file of the package. npm installs some of them. Of the others a copy lies in the package:
their texts are in \`dist/bin/LICENSES.txt\` and \`dist/native/LICENSES.txt\`, and the bill of materials, \`dist/sbom.cdx.json\`, marks them as
\`landfall:bundled\`.

The page is made by \`npm run licences\`.

${lines.join('\n')}
`;
}
