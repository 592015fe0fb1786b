import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import { countOf, renderTable } from '../src/cli/format/text.js';
import { formatSize } from '../src/spec/index.js';

/** What lies where below the root of a store, and what each part is for. */
export function renderStore(root: string): string {
  const snapshots = join(root, 'snapshots');
  const rows = [
    ['oci-layout, index.json', 'so that other tools read the store as oci:ROOT:NAME'],
    ['blobs/', `manifests, configs and layers as they came: ${sizeOf(join(root, 'blobs'))}`],
    ...readdirSync(snapshots)
      .filter((name) => lstatSync(join(snapshots, name)).isDirectory())
      .sort((a, b) => Number(a) - Number(b))
      .map((name) => [`snapshots/${name}/`, `one layer, unpacked: ${sizeOf(join(snapshots, name))}`]),
    ['metadata.db', `what belongs to what: ${formatSize(lstatSync(join(root, 'metadata.db')).size)}`],
  ];
  const table = renderTable([{ title: '' }, { title: '' }], rows);
  // A list of paths needs no titles.
  return table
    .split('\n')
    .slice(1)
    .map((line) => (line === '' ? '' : `  ${line}`))
    .join('\n');
}

function sizeOf(directory: string): string {
  const { files, bytes } = measure(directory);
  return `${countOf(files, 'file')}, ${formatSize(bytes)}`;
}

function measure(directory: string): { files: number; bytes: number } {
  let files = 0;
  let bytes = 0;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    const below = entry.isDirectory() ? measure(path) : { files: 1, bytes: lstatSync(path).size };
    files += below.files;
    bytes += below.bytes;
  }
  return { files, bytes };
}
