import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { RegistryClient, type RemoteRepository } from '../../src/registry/index.js';
import { type Descriptor, digestOf, MEDIA_TYPES, parseReference } from '../../src/spec/index.js';
import { blobOf, failure, patterned } from '../support/registry-fixture.js';
import { type Reply, ScriptedRegistry, type SeenRequest } from '../support/scripted-registry.js';

const small = patterned(1000);
const large = Buffer.alloc(5 * 1024 * 1024, 'x');
const manifestBytes = Buffer.from(
  JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config: blobOf(small), layers: [] }),
);
const manifest: Descriptor = {
  mediaType: MEDIA_TYPES.ociManifest,
  digest: digestOf(manifestBytes),
  size: manifestBytes.length,
};
const opened = (bytes: Buffer) => (): Promise<Readable> => Promise.resolve(Readable.from([bytes]));

async function all(list: AsyncIterable<unknown>): Promise<unknown[]> {
  const items: unknown[] = [];
  for await (const item of list) items.push(item);
  return items;
}

/** What a registry answers that has nothing and takes everything. */
function honest({ line }: SeenRequest): Reply {
  if (line.startsWith('HEAD')) return { status: 404 };
  if (line.startsWith('POST')) return { status: 202, headers: { location: '/v2/team/app/blobs/uploads/1' } };
  if (line.startsWith('PATCH')) return { status: 202, headers: { location: '/v2/team/app/blobs/uploads/1' } };
  if (line.startsWith('PUT')) return { status: 201 };
  if (line.startsWith('DELETE')) return { status: 202 };
  return { status: 404 };
}

type Operation = (repository: RemoteRepository, client: RegistryClient, registry: string) => Promise<unknown>;

/**
 * Each with how the request begins that fails; what is asked by HEAD is asked by GET too, and fails there as
 * well.
 */
const operations: readonly (readonly [name: string, at: string, operation: Operation])[] = [
  ['push of a blob, at its HEAD', 'HEAD /v2/team/app/blobs/', (to) => to.push(blobOf(small), opened(small))],
  ['push of a blob, at its POST', 'POST', (to) => to.push(blobOf(small), opened(small))],
  ['push of a small blob, at its PUT', 'PUT', (to) => to.push(blobOf(small), opened(small))],
  ['push of a large blob, at its PATCH', 'PATCH', (to) => to.push(blobOf(large), opened(large))],
  ['push of a large blob, at its PUT', 'PUT', (to) => to.push(blobOf(large), opened(large))],
  [
    'mount of a blob',
    'POST',
    (to) => to.push(blobOf(small), opened(small), { mountFrom: ['team/base', 'team/other'] }),
  ],
  ['push of a manifest', 'PUT', (to) => to.push(manifest, opened(manifestBytes), { tag: '1' })],
  ['look whether a blob is there', 'HEAD', (at) => at.has(blobOf(small))],
  ['look whether a manifest is there', 'HEAD', (at) => at.has(manifest)],
  ['look what a tag names', 'HEAD', (at) => at.stored('1')],
  ['size of a blob', 'HEAD', (at) => at.blobSize(blobOf(small).digest)],
  ['list of tags', 'GET /v2/team/app/tags/list', (at) => all(at.tags())],
  ['list of referrers', 'GET /v2/team/app/referrers/', (at) => all(at.referrers(manifest.digest))],
  ['catalog', 'GET /v2/_catalog', (_at, client, registry) => all(client.catalog(registry))],
  ['deletion of a tag', 'DELETE', (at) => at.deleteTag('1')],
  ['deletion of a blob', 'DELETE', (at) => at.deleteBlob(blobOf(small).digest)],
];

describe.each<[fault: string, reply: Reply, requests: number, code: string]>([
  ['503 always', { status: 503 }, 5, 'UNAVAILABLE'],
  ['429 always', { status: 429 }, 5, 'RATE_LIMITED'],
  [
    '429 with a Retry-After of a day',
    { status: 429, headers: { 'retry-after': '86400' } },
    1,
    'RATE_LIMITED',
  ],
])('%s', (_fault, reply, requests, code) => {
  it.each(operations)('is met so often, and no more: %s', async (_name, at, operation) => {
    let met = 0;
    const answer = (request: SeenRequest): Reply => {
      if (!request.line.replace(/^GET/, at.startsWith('HEAD') ? 'HEAD' : 'GET').startsWith(at))
        return honest(request);
      met += 1;
      return reply;
    };
    await using registry = await ScriptedRegistry.start(
      ['HEAD', 'GET', 'POST', 'PATCH', 'PUT', 'DELETE'].map((method) => ({
        on: `${method} *`,
        times: 'any' as const,
        reply: answer,
      })),
    );
    await using client = new RegistryClient({ retry: { baseMs: 1 } });
    const repository = client.repository(parseReference(`${registry.address}/team/app`));
    const error = await failure(operation(repository, client, registry.address));
    expect(error.code).toBe(code);
    expect(met).toBe(requests);
    expect(error.details['attempts'] ?? 1).toBe(requests);
  });
});
