import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';

/** An `index.json` that is larger is not worth waiting for. */
const LARGEST = 16 * 1024 ** 2;
/** The annotation by which an OCI layout names an image (image-spec: annotations.md). */
const REF_NAME = 'org.opencontainers.image.ref.name';
/** A shell puts a name on its line as it is, so it is to mean nothing else there. */
const HARMLESS = /^[\w][\w./:@+-]*$/;

/**
 * The names that the `index.json` of a store or another OCI layout gives; none where there is no such file or it is damaged. The
 * database knows no more, and takes ten times as long to be opened.
 */
export async function imageNames(directory: string): Promise<readonly string[]> {
  try {
    return namesIn(JSON.parse(await textOf(path.join(directory, 'index.json'))));
  } catch {
    return [];
  }
}

async function textOf(file: string): Promise<string> {
  // A directory of somebody else may have a pipe there, on which Tab would wait for ever.
  await using handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  const stats = await handle.stat();
  return stats.isFile() && stats.size <= LARGEST ? await handle.readFile('utf8') : '';
}

function namesIn(index: unknown): string[] {
  const manifests = memberOf(index, 'manifests');
  if (!Array.isArray(manifests)) return [];
  return manifests.flatMap((entry: unknown) => {
    const name = memberOf(memberOf(entry, 'annotations'), REF_NAME);
    return typeof name === 'string' && HARMLESS.test(name) ? [name] : [];
  });
}

function memberOf(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? (value as Readonly<Record<string, unknown>>)[key]
    : undefined;
}
