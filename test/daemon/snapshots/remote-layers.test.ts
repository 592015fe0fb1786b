import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Lease } from '../../../src/content/index.js';
import type { AskedPull } from '../../../src/daemon/pulls/pulls.js';
import { RemoteLayers } from '../../../src/daemon/snapshots/remote-layers.js';
import type { RemoteImage } from '../../../src/daemon/snapshots/remote-image.js';
import type { PullResult } from '../../../src/engine/pull/pull-report.js';
import { abortedError, ContentError } from '../../../src/errors.js';
import { digestOf, parseDigest } from '../../../src/spec/index.js';
import { type Deferred, deferred } from '../../../src/concurrency/index.js';
import { failure } from '../../support/registry-fixture.js';

const DIGEST = digestOf(Buffer.from('manifest'));
const IMAGE: RemoteImage = {
  reference: { registry: 'registry.example', repository: 'team/app', digest: DIGEST },
  asked: 'registry.example/team/app:1',
};
const CHAIN = parseDigest(`sha256:${'c'.repeat(64)}`);

const full = (): ContentError => new ContentError('NO_SPACE', 'the disk is full');

describe('the layers of images that are brought for a containerd', () => {
  let remote: RemoteLayers;
  /** What each pull was asked for, which goes on until it is aborted or ended. */
  let pulls: { readonly asked: AskedPull; readonly ended: Deferred<PullResult> }[];
  /** Fails once what it names. */
  let fault: 'create' | 'addSnapshot' | undefined;
  let leases: number;

  beforeEach(() => {
    pulls = [];
    fault = undefined;
    leases = 0;
    const failOnce = (what: typeof fault): Promise<void> => {
      if (fault !== what) return Promise.resolve();
      fault = undefined;
      return Promise.reject(full());
    };
    const create = async (): Promise<Lease> => {
      await failOnce('create');
      leases += 1;
      return {
        id: String(leases),
        addBlob: () => Promise.resolve(),
        addSnapshot: () => failOnce('addSnapshot'),
        renew: () => Promise.resolve(),
        [Symbol.asyncDispose]: () => {
          leases -= 1;
          return Promise.resolve();
        },
      };
    };
    remote = new RemoteLayers({
      store: { leases: { create } },
      pulls: {
        pull: (asked) => {
          const ended = deferred<PullResult>();
          asked.signal?.addEventListener('abort', () => ended.reject(abortedError(asked.signal)));
          pulls.push({ asked, ended });
          return ended.promise;
        },
      },
      credentialsFor: () => undefined,
    });
  });
  afterEach(() => remote[Symbol.asyncDispose]());

  const commit = ({ asked }: (typeof pulls)[number]): void =>
    asked.onEvent?.({
      type: 'layer',
      reference: IMAGE.asked,
      at: 0,
      digest: DIGEST,
      diffId: CHAIN,
      chainId: CHAIN,
      state: 'committed',
      bytes: 1,
    });
  /** That it is known which layers there are. */
  const emit = ({ asked }: (typeof pulls)[number]): void =>
    asked.onEvent?.({
      type: 'image',
      reference: IMAGE.asked,
      at: 0,
      digest: DIGEST,
      platform: { os: 'linux', architecture: 'amd64' },
      layers: [{ digest: DIGEST, size: 1, diffId: CHAIN }],
    });
  const begun = async (count: number): Promise<(typeof pulls)[number]> => {
    await expect.poll(() => pulls.length).toBe(count);
    const last = pulls.at(-1);
    if (last === undefined) throw new Error('no pull was begun');
    return last;
  };

  it('fail where they cannot be kept, while the pull goes on; it ends, and the next who asks gets one of his own', async () => {
    fault = 'addSnapshot';
    const failed = failure(remote.bring(IMAGE, CHAIN, {}));
    const first = await begun(1);
    commit(first);
    expect(await failed).toMatchObject({ code: 'NO_SPACE' });
    expect(first.asked.signal?.aborted).toBe(true);
    const brought = remote.bring(IMAGE, CHAIN, {});
    commit(await begun(2));
    await brought;
  });

  it('fail where nothing can be leased, and nothing is left of that', async () => {
    fault = 'create';
    expect(await failure(remote.bring(IMAGE, CHAIN, {}))).toMatchObject({ code: 'NO_SPACE' });
    expect(pulls).toEqual([]);
    const brought = remote.bring(IMAGE, CHAIN, {});
    commit(await begun(1));
    await brought;
    await remote[Symbol.asyncDispose]();
    expect(leases).toBe(0);
  });

  it('of a try that was broken off before any had come are not kept', async () => {
    const leaves = new AbortController();
    const failed = failure(remote.bring(IMAGE, CHAIN, { signal: leaves.signal }));
    await begun(1);
    expect(leases).toBe(1);
    leaves.abort();
    expect(await failed).toMatchObject({ code: 'ABORTED' });
    await expect.poll(() => leases).toBe(0);
  });

  it('of a try that was broken off are kept until the topmost is held', async () => {
    const leaves = new AbortController();
    const failed = failure(remote.bring(IMAGE, CHAIN, { signal: leaves.signal }));
    emit(await begun(1));
    leaves.abort();
    expect(await failed).toMatchObject({ code: 'ABORTED' });
    await expect.poll(() => pulls[0]?.asked.signal?.aborted).toBe(true);
    expect(leases).toBe(1);
    // By whatever way it came here since.
    remote.held(CHAIN);
    await expect.poll(() => leases).toBe(0);
  });

  it('leave no listener with those who waited for them', async () => {
    let listeners = 0;
    const { signal } = new AbortController();
    const counted = Object.assign(signal, {
      addEventListener: (...args: Parameters<AbortSignal['addEventListener']>) => {
        listeners += 1;
        EventTarget.prototype.addEventListener.apply(signal, args);
      },
      removeEventListener: (...args: Parameters<AbortSignal['removeEventListener']>) => {
        listeners -= 1;
        EventTarget.prototype.removeEventListener.apply(signal, args);
      },
    });
    const brought = remote.bring(IMAGE, CHAIN, { signal: counted });
    commit(await begun(1));
    await brought;
    expect(listeners).toBe(0);
  });
});
