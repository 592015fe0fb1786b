import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { type Descriptor, digestOf, MEDIA_TYPES } from '../../src/spec/index.js';
import { SharedCopies } from '../../src/transfer/copy/copy-session.js';
import { ManifestReader } from '../../src/transfer/transports/manifest-reader.js';
import { LayoutDestination } from '../../src/transfer/transports/layout-destination.js';
import { CreatedDates } from '../../src/transfer/sync/plan-mirror.js';
import { MemoryTransport } from '../support/memory-transport.js';
import { type Operation, sharedObjectSuite, WorkFailed } from '../suites/shared-object.js';

/** A manifest for each key, as the source gives it once the operation's work is done. */
function manifestOf({ key, work }: Operation): {
  readonly descriptor: Descriptor;
  readonly source: { fetch(descriptor: Descriptor, o: { signal?: AbortSignal }): Promise<Readable> };
} {
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      config: { mediaType: MEDIA_TYPES.ociEmpty, digest: digestOf(Buffer.from('{}')), size: 2 },
      layers: [],
      annotations: { key, 'org.opencontainers.image.created': '2026-01-01T00:00:00Z' },
    }),
  );
  return {
    descriptor: { mediaType: MEDIA_TYPES.ociManifest, digest: digestOf(bytes), size: bytes.length },
    source: {
      fetch: async (_descriptor, { signal }) => {
        await work(signal);
        return Readable.from([bytes]);
      },
    },
  };
}

sharedObjectSuite(
  'a reader of manifests',
  () => {
    const manifests = new ManifestReader();
    return {
      begin: async (operation) => {
        const { descriptor, source } = manifestOf(operation);
        await manifests.bytes(source, descriptor, { signal: operation.signal });
      },
    };
  },
  { atOnce: 8 },
);

sharedObjectSuite(
  'the dates of images',
  () => {
    const dates = new CreatedDates(new ManifestReader());
    return {
      begin: async (operation) => {
        const { descriptor, source } = manifestOf(operation);
        await dates.of(source, descriptor, { signal: operation.signal });
      },
    };
  },
  { atOnce: 8 },
);

sharedObjectSuite(
  'blobs that are copied',
  () => {
    const flights = new SharedCopies();
    const transport = new MemoryTransport('registry.example');
    return {
      begin: ({ key, signal, work }) => {
        const descriptor = { digest: digestOf(Buffer.from(key)), size: 1 };
        const put = async (): Promise<'copied'> => {
          await work(signal);
          return 'copied';
        };
        return flights.bring(transport.repository('registry.example/team/app'), descriptor, put, { signal });
      },
    };
  },
  { atOnce: 8 },
);

sharedObjectSuite(
  'a layout that is written',
  async () => {
    const work = await mkdtemp(join(tmpdir(), 'landfall-shared-'));
    const layout = await LayoutDestination.open(join(work, 'layout'));
    return {
      begin: async (operation) => {
        const { key, signal } = operation;
        const bytes = Buffer.from(key);
        const descriptor = { mediaType: 'text/plain', digest: digestOf(bytes), size: bytes.length };
        const open = async (): Promise<Readable> => {
          await operation.work(signal);
          return Readable.from([bytes]);
        };
        await layout.putBlob(descriptor, open, { signal });
      },
      close: () => rm(work, { recursive: true }),
    };
  },
  {
    atOnce: 8,
    io: true,
    runs: 25,
    isExpected: (error) => error instanceof Error && error.cause instanceof WorkFailed,
  },
);
