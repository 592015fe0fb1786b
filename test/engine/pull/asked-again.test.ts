import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openStore } from '../../../src/engine/store.js';
import { pull } from '../../../src/engine/pull/pull.js';
import { RegistryClient } from '../../../src/registry/index.js';
import { type Descriptor, type Digest, digestOf, parsePlatform } from '../../../src/spec/index.js';
import { hosts, upstreamAt } from '../../support/host-configs.js';
import { imageSteps } from '../../support/image-steps.js';
import { failure } from '../../support/registry-fixture.js';
import { type Reply, ScriptedRegistry } from '../../support/scripted-registry.js';
import { makeTinyLayout, type TinyLayout } from '../../support/tiny-image.js';

const reference = 'registry.example/team/app:1';
const platform = parsePlatform('linux/amd64');
const DAY_SECONDS = '86400';
const KINDS = ['layer', 'config', 'manifest'] as const;

/** What is asked for, as the honest registry has it. */
interface Wanted {
  readonly descriptor: Descriptor;
  readonly body: Buffer;
}

/**
 * What a registry does to one thing of an image, how often it is then asked for it, and how the pull ends.
 */
interface Row {
  readonly name: string;
  /** The answer to the nth request for it; undefined for the honest one. */
  readonly answer?: (wanted: Wanted, nth: number) => Reply | undefined;
  /** How the manifest or index above describes it. */
  readonly described?: (wanted: Wanted) => Partial<Descriptor>;
  readonly requests: number;
  /** The code of the failure. Without one, the pull succeeds. */
  readonly code?: string;
}

const flipped = ({ body }: Wanted): Reply => ({ body, ranges: true, corrupt: body.length - 1 });
const shorter = ({ body }: Wanted): Buffer => body.subarray(0, -1);
const longer = ({ body }: Wanted): Buffer => Buffer.concat([body, Buffer.from('!')]);
const once =
  (answer: (wanted: Wanted) => Reply): NonNullable<Row['answer']> =>
  (wanted, nth) =>
    nth === 1 ? answer(wanted) : undefined;

const rows: readonly Row[] = [
  { name: '503 always', answer: () => ({ status: 503 }), requests: 5, code: 'UNAVAILABLE' },
  { name: '429 always', answer: () => ({ status: 429 }), requests: 5, code: 'RATE_LIMITED' },
  {
    name: '429 always, with a Retry-After that is waited for',
    answer: () => ({ status: 429, headers: { 'retry-after': '0' } }),
    requests: 20,
    code: 'RATE_LIMITED',
  },
  {
    name: '429 with a Retry-After of a day',
    answer: () => ({ status: 429, headers: { 'retry-after': DAY_SECONDS } }),
    requests: 1,
    code: 'RATE_LIMITED',
  },
  {
    name: '503 with a Retry-After of a day',
    answer: () => ({ status: 503, headers: { 'retry-after': DAY_SECONDS } }),
    requests: 1,
    code: 'UNAVAILABLE',
  },
  {
    name: 'no answer but a closed connection',
    answer: () => ({ dropAfter: -1 }),
    requests: 5,
    code: 'UNAVAILABLE',
  },
  { name: 'wrong bytes always', answer: flipped, requests: 2, code: 'DIGEST_MISMATCH' },
  { name: 'wrong bytes once', answer: once(flipped), requests: 2 },
  {
    name: 'a body that is too short, once',
    answer: once((wanted) => ({ body: shorter(wanted) })),
    requests: 2,
  },
  {
    name: 'a body in chunks that is too short, once',
    answer: once((wanted) => ({ body: shorter(wanted), chunked: true })),
    requests: 2,
  },
  {
    name: 'a body that is too long, once',
    answer: once((wanted) => ({ body: longer(wanted) })),
    requests: 2,
  },
  {
    name: 'a body in chunks that is too long, once',
    answer: once((wanted) => ({ body: longer(wanted), chunked: true })),
    requests: 2,
  },
  {
    name: 'a body in chunks that is too long, always',
    answer: (wanted) => ({ body: longer(wanted), chunked: true }),
    requests: 2,
    code: 'SIZE_MISMATCH',
  },
  {
    name: 'a Content-Length that is wrong, once',
    answer: once(({ body }) => ({ body, headers: { 'content-length': String(body.length + 7) } })),
    requests: 2,
  },
  {
    name: 'a Content-Length that is wrong, always',
    answer: ({ body }) => ({ body, headers: { 'content-length': String(body.length + 7) } }),
    requests: 2,
    code: 'SIZE_MISMATCH',
  },
  {
    name: 'a connection that breaks, once',
    answer: once(({ body }) => ({ body, dropAfter: 10 })),
    requests: 2,
  },
  {
    name: 'a connection that breaks, and then a refusal of the rest',
    answer: ({ body }, nth) => [{ body, dropAfter: 10 }, { status: 400 }][nth - 1],
    requests: 3,
  },
  { name: 'a size of 0', described: () => ({ size: 0 }), requests: 0, code: 'DIGEST_MISMATCH' },
  {
    name: 'data of the right length and wrong bytes',
    described: ({ body }) => ({ data: Buffer.alloc(body.length, 'x').toString('base64') }),
    requests: 0,
    code: 'DIGEST_MISMATCH',
  },
];

describe.each(KINDS)('a %s is asked for so often, and no more:', (kind) => {
  let work: string;
  let honest: TinyLayout;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-asked-'));
    honest = await makeTinyLayout(join(work, 'layout'), { platforms: ['linux/amd64', 'linux/arm64'] });
  });
  afterAll(() => rm(work, { recursive: true, force: true }));

  const wantedIn = ({ manifests: [image], blobs }: TinyLayout): Wanted => {
    const { manifest, config, layers } = image;
    const descriptor = { layer: layers[0] ?? config, config, manifest }[kind];
    return { descriptor, body: blobs.get(descriptor.digest) ?? Buffer.alloc(0) };
  };

  it.each(rows)('$name', async ({ answer, described, requests, code }) => {
    const wanted = wantedIn(honest);
    const { digest } = wanted.descriptor;
    const layout = described === undefined ? honest : describedAs(honest, digest, described(wanted));
    const path = `/v2/team/app/${kind === 'manifest' ? 'manifests' : 'blobs'}/${digest}`;
    let asked = 0;
    await using upstream = await ScriptedRegistry.start(
      imageSteps(layout, {
        repository: 'team/app',
        tag: '1',
        first: ({ line }): Reply | undefined => {
          if (line !== `GET ${path}`) return undefined;
          asked += 1;
          return answer?.(wanted, asked);
        },
      }),
    );
    await using client = new RegistryClient({
      hosts: hosts(upstreamAt(upstream.address)),
      retry: { baseMs: 1 },
      timeouts: { connectMs: 20_000, headersMs: 20_000, bodyMs: 20_000 },
    });
    await using store = await openStore({ root: await mkdtemp(join(work, 'root-')), workers: 1 });
    const pulling = pull({ store, registry: client, reference, platform });
    if (code === undefined) await pulling;
    else expect((await failure(pulling)).code).toBe(code);
    expect(asked).toBe(requests);
  });
});

/** The same image, in which whatever lists one thing describes it otherwise. */
function describedAs(layout: TinyLayout, of: Digest, change: Partial<Descriptor>): TinyLayout {
  const blobs = new Map(layout.blobs);
  const rewrite = (digest: Digest): Descriptor => {
    const manifest = JSON.parse(String(layout.blobs.get(digest))) as Listing;
    for (const entry of [manifest.config, ...(manifest.layers ?? []), ...(manifest.manifests ?? [])]) {
      if (entry?.digest === of) Object.assign(entry, change);
      else if (entry !== undefined && manifest.manifests?.includes(entry) === true)
        Object.assign(entry, rewrite(entry.digest));
    }
    const bytes = Buffer.from(JSON.stringify(manifest));
    blobs.set(digestOf(bytes), bytes);
    return { mediaType: manifest.mediaType, digest: digestOf(bytes), size: bytes.length };
  };
  const target = rewrite(layout.target.digest);
  const [first, ...others] = layout.manifests;
  const index = JSON.parse(String(blobs.get(target.digest))) as Listing;
  const manifests = [first, ...others].map((image, at) => ({
    ...image,
    manifest: index.manifests?.[at] ?? image.manifest,
  }));
  return { ...layout, target, blobs, manifests: [manifests[0] ?? first, ...manifests.slice(1)] };
}

interface Listing {
  mediaType: string;
  config?: Descriptor;
  layers?: Descriptor[];
  manifests?: Descriptor[];
}
