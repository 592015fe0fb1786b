import type { Readable } from 'node:stream';
import { ContentError, type LandfallError, RegistryError } from '../../errors.js';
import { type Descriptor, type Digest, parseReference, quoted } from '../../spec/index.js';
import { verifiedContent } from '../../transfer/transports/verified-content.js';
import { writeBytes } from '../output/bytes-output.js';
import type { CommandContext, CommandResult } from '../output/command-context.js';
import { parseTransport } from '../../transfer/transports/image-transport.js';
import { CommandTransports } from '../images/command-transports.js';
import { parseBlobName } from '../images/opened-images.js';

/** A blob that can be read, of which the size is known. */
interface FoundBlob {
  readonly descriptor: Descriptor;
  readonly open: (offset?: number) => Promise<Readable>;
}

/** Writes the exact bytes of a blob; the last of them only when all were found to be right. */
export async function blobCommand(
  text: string,
  flags: { readonly file?: string },
  context: CommandContext,
): CommandResult {
  const { transport, digest } = parseBlobName(text);
  await using transports = new CommandTransports(context);
  const { descriptor, open } = await findBlob(transport, digest, transports, context);
  const bytes = verifiedContent(descriptor, open, { signal: context.signal });
  await writeBytes(
    bytes,
    { file: flags.file, what: `blob ${digest}`, info: { name: transport, digest } },
    context,
  );
  return 0;
}

async function findBlob(
  transport: string,
  digest: Digest,
  transports: CommandTransports,
  context: CommandContext,
): Promise<FoundBlob> {
  const named = parseTransport(transport);
  if (named.kind === 'registry') return await blobAtRegistry(transport, digest, transports, context);
  if (named.kind === 'store') parseReference(transport);
  const content =
    named.kind === 'store'
      ? (await transports.store()).content
      : (await transports.source(transport)).content;
  const info = await content?.info(digest);
  if (content === undefined || info === undefined) {
    throw notThere(transport, digest, named.kind === 'store');
  }
  const descriptor = { mediaType: BYTES, digest, size: info.size };
  return { descriptor, open: (offset = 0) => content.open(descriptor, { offset }) };
}

async function blobAtRegistry(
  transport: string,
  digest: Digest,
  transports: CommandTransports,
  { signal }: CommandContext,
): Promise<FoundBlob> {
  const { repository } = await transports.source(transport);
  const size = await repository.blobSize?.(digest, { signal });
  // Most registries keep manifests apart from blobs.
  const manifest = size === undefined ? await repository.resolve(digest, { signal }) : undefined;
  const descriptor = size === undefined ? manifest : { mediaType: BYTES, digest, size };
  if (descriptor === undefined) {
    throw new RegistryError('NOT_FOUND', `${repository.location} has no blob ${digest}`, {
      hint: 'Check the digest, and that it is of this repository: `landfall tree` shows what an image has.',
    });
  }
  return { descriptor, open: (offset = 0) => repository.fetch(descriptor, { offset, signal }) };
}

const BYTES = 'application/octet-stream';

function notThere(transport: string, digest: Digest, isStore: boolean): LandfallError {
  return new ContentError(
    'BLOB_NOT_FOUND',
    `${isStore ? 'the store' : quoted(transport)} has no blob ${digest}`,
    {
      details: { digest },
      hint: isStore
        ? `Fetch it from the registry with docker://${transport}@${digest}.`
        : '`landfall tree` lists its content.',
    },
  );
}
