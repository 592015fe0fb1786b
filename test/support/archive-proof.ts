import { join } from 'node:path';
import { isLandfallError } from '../../src/errors.js';
import { openArchive } from '../../src/transfer/transports/archives/open-archive.js';
import { CopySession } from '../../src/transfer/copy/copy-session.js';
import { LayoutDestination } from '../../src/transfer/transports/layout-destination.js';
import { LayoutTransport } from '../../src/transfer/transports/layout-transport.js';
import { layoutRoots } from '../../src/transfer/verify/layout-roots.js';
import { ArchiveLoader } from '../../src/transfer/copy/load-archive.js';
import { verify, type VerifyOptions } from '../../src/transfer/verify/verify.js';

/** What an archive is found to be: `whole`, or the codes of all that is wrong with it. */
export async function proofOf(file: string, options: VerifyOptions = {}): Promise<'whole' | string[]> {
  return await codesOf(async () => {
    await using archive = await openArchive({ file });
    const faults = await archive.faults();
    if (faults.length > 0) return faults.map(({ code }) => code);
    const place = new LayoutTransport({ content: archive, location: file });
    const declared = new Set(archive.declaration.omitted.map(({ digest }) => digest));
    const report = await verify(await layoutRoots(place), {
      isLeftOut: ({ digest }) => declared.has(digest),
      ...options,
    });
    return report.faults.map(({ code }) => code);
  });
}

/** What comes of loading all of an archive into an empty layout: `whole`, or the codes of what failed. */
export async function loadingOf(file: string, directory: string): Promise<'whole' | string[]> {
  return await codesOf(async () => {
    await using archive = await openArchive({ file });
    const destination = await LayoutDestination.open(join(directory));
    const loader = new ArchiveLoader({ archive, destination, session: new CopySession() });
    const { images } = await loader.plan();
    if (images.length === 0) return ['EMPTY'];
    const outcomes = await Promise.all(
      images.map((image) =>
        codesOf(async () => {
          const { missing } = await loader.load(image);
          return missing.map(() => 'MISSING');
        }),
      ),
    );
    return outcomes.flatMap((outcome) => (outcome === 'whole' ? [] : outcome));
  });
}

async function codesOf(attempt: () => Promise<string[]>): Promise<'whole' | string[]> {
  try {
    const codes = await attempt();
    return codes.length === 0 ? 'whole' : codes;
  } catch (error) {
    if (isLandfallError(error)) return [error.code];
    throw error;
  }
}
