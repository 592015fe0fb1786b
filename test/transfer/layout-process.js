/*
 * A process of its own that writes images into an OCI layout: node layout-process.js DIRECTORY WHO COUNT. It is plain JavaScript
 * on the built code, since a child process cannot load TypeScript. It waits for a line on standard input, so that several begin
 * at once.
 */
import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import process from 'node:process';
import { Readable } from 'node:stream';

import { LayoutDestination } from '../../dist/src/transfer/transports/layout-destination.js';

const [directory, who, count] = process.argv.slice(2);
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

function describing(mediaType, bytes) {
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  return { mediaType, digest, size: bytes.length };
}

async function put(repository, mediaType, bytes, options) {
  const descriptor = describing(mediaType, bytes);
  await repository.put(descriptor, () => Promise.resolve(Readable.from([bytes])), options);
  return descriptor;
}

process.stdout.write('ready\n');
await once(process.stdin, 'data');
process.stdin.destroy();
const transport = await LayoutDestination.open(directory);
const repository = transport.repository(`docker.io/team/${who}`);
await Promise.all(
  Array.from({ length: Number(count) }, async (_, at) => {
    // Of all processes the same layer, of each its own config.
    const layer = await put(repository, 'application/vnd.oci.image.layer.v1.tar', Buffer.alloc(10_000, at));
    const config = await put(
      repository,
      'application/vnd.oci.image.config.v1+json',
      Buffer.from(`{"author":"${who}"}`),
    );
    const manifest = { schemaVersion: 2, mediaType: MANIFEST, config, layers: [layer] };
    await put(repository, MANIFEST, Buffer.from(JSON.stringify(manifest)), { tag: `v${at}` });
  }),
);
await transport.finish();
