import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openStore } from '../../src/engine/store.js';
import { RegistryClient } from '../../src/registry/index.js';
import { copy } from '../../src/transfer/copy/copy.js';
import { CopySession } from '../../src/transfer/copy/copy-session.js';
import type { DestinationRepository, SourceRepository } from '../../src/transfer/transports/destination.js';
import { LayoutDestination } from '../../src/transfer/transports/layout-destination.js';
import { RegistryTransport } from '../../src/transfer/transports/registry-transport.js';
import { StoreTransport } from '../../src/transfer/transports/store-transport.js';
import { imageSteps } from '../support/image-steps.js';
import { failure } from '../support/registry-fixture.js';
import { type Reply, ScriptedRegistry, type SeenRequest } from '../support/scripted-registry.js';
import { makeTinyLayout, type TinyLayout } from '../support/tiny-image.js';
import { UploadRegistry } from '../support/upload-registry.js';

const NAME = 'docker.io/team/app';

describe('a copy asks its source so often, and no more,', () => {
  let work: string;
  let image: TinyLayout;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-copy-asked-'));
    image = await makeTinyLayout(join(work, 'layout'));
  });
  afterAll(() => rm(work, { recursive: true, force: true }));

  const opened: AsyncDisposable[] = [];
  const use = <T extends AsyncDisposable>(what: T): T => {
    opened.unshift(what);
    return what;
  };
  afterEach(async () => {
    for (const each of opened.splice(0)) await each[Symbol.asyncDispose]();
  });

  /** The image at a registry, which first answers as it is told. */
  const serving = async (first: (request: SeenRequest) => Reply | undefined): Promise<SourceRepository> => {
    const steps = imageSteps(image, { repository: 'team/app', tag: '1', first });
    const { address: host } = use(await ScriptedRegistry.start(steps));
    const registry = use(new RegistryClient({ retry: { baseMs: 1 } }));
    return new RegistryTransport({ registry, host }).repository(`${host}/team/app`);
  };
  const copied = (source: SourceRepository, to: DestinationRepository): Promise<unknown> =>
    copy(source, to, { from: '1', tag: '1', platforms: 'all' }, new CopySession({ concurrency: 1 }));

  const destinations: readonly (readonly [name: string, open: () => Promise<DestinationRepository>])[] = [
    [
      'into a layout',
      async (): Promise<DestinationRepository> =>
        use(await LayoutDestination.open(await mkdtemp(join(work, 'oci-')))).repository(NAME),
    ],
    [
      'into the store',
      async (): Promise<DestinationRepository> => {
        const store = use(await openStore({ root: await mkdtemp(join(work, 'root-')) }));
        return use(new StoreTransport({ store })).repository(NAME);
      },
    ],
    [
      'into a registry',
      async (): Promise<DestinationRepository> => {
        const { address: host } = use(await UploadRegistry.start());
        const registry = use(new RegistryClient({ retry: { baseMs: 1 } }));
        return new RegistryTransport({ registry, host }).repository(`${host}/team/app`);
      },
    ],
  ];

  describe.each(destinations)('%s', (_destination, open) => {
    it.each<[fault: string, reply: Reply, requests: number, code: string]>([
      ['503 always', { status: 503 }, 5, 'UNAVAILABLE'],
      ['429 always', { status: 429 }, 5, 'RATE_LIMITED'],
      [
        '429 with a Retry-After of a day',
        { status: 429, headers: { 'retry-after': '86400' } },
        1,
        'RATE_LIMITED',
      ],
    ])('for a layer that it answers with %s', async (_fault, reply, requests, code) => {
      const [layer] = image.manifests[0].layers;
      let asked = 0;
      const source = await serving(({ line }) => {
        if (line !== `GET /v2/team/app/blobs/${layer?.digest ?? ''}`) return undefined;
        asked += 1;
        return reply;
      });
      expect((await failure(copied(source, await open()))).code).toBe(code);
      expect(asked).toBe(requests);
    });

    it.each<[what: string, wrongAnswers: number, code: string | undefined]>([
      ['a layer that comes wrong once', 1, undefined],
      ['a layer that comes wrong always', Infinity, 'DIGEST_MISMATCH'],
      ['a config that comes wrong once', 1, undefined],
      ['a manifest that comes wrong once', 1, undefined],
      ['a manifest that comes wrong always', Infinity, 'DIGEST_MISMATCH'],
    ])('for %s', async (what, wrongAnswers, code) => {
      const [manifest] = image.manifests;
      const [layer] = manifest.layers;
      const wrong = what.includes('layer')
        ? layer
        : what.includes('config')
          ? manifest.config
          : manifest.manifest;
      let asked = 0;
      const source = await serving(({ line }) => {
        if (!line.startsWith('GET') || !line.endsWith(wrong?.digest ?? '')) return undefined;
        asked += 1;
        if (asked > wrongAnswers) return undefined;
        return { status: 200, body: Buffer.alloc(wrong?.size ?? 0, '?') };
      });
      const copying = copied(source, await open());
      if (code === undefined) await copying;
      else expect((await failure(copying)).code).toBe(code);
      expect(asked).toBe(2);
    });
  });
});
