import { mkdtemp, rm, writeFile, chmod } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openStore, type Store } from '../../../src/engine/store.js';
import { pull } from '../../../src/engine/pull/pull.js';
import type { PullEvent } from '../../../src/engine/pull/pull-report.js';
import { removeImage } from '../../../src/engine/images/names.js';
import { RegistryClient } from '../../../src/registry/index.js';
import type { Descriptor } from '../../../src/spec/index.js';
import { type Lie, type LyingRegistry, startLyingRegistry } from '../../support/lying-registry.js';
import { failure } from '../../support/registry-fixture.js';
import { makeTinyLayout, type TinyLayout } from '../../support/tiny-image.js';

describe('pull, verifying first', () => {
  let work: string;
  let layout: TinyLayout;
  let top: Descriptor;
  let registry: LyingRegistry;
  let client: RegistryClient;
  let store: Store;
  let reference: string;
  const lies = new Map<string, Lie>();
  let events: PullEvent[] = [];

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-verify-first-'));
    layout = await makeTinyLayout(join(work, 'layout'));
    const last = layout.manifests[0].layers.at(-1);
    if (last === undefined) throw new Error('the image has no layers');
    top = last;
    registry = await startLyingRegistry(layout, (what) => lies.get(what));
    client = new RegistryClient({});
    reference = `${registry.address}/team/app:1`;
  });
  afterAll(async () => {
    await client.close();
    await registry[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });
  beforeEach(async () => {
    lies.clear();
    events = [];
    store = await openStore({ root: await mkdtemp(join(work, 'root-')) });
    return () => store.close();
  });

  const pulled = (verifyFirst: boolean): ReturnType<typeof pull> =>
    pull({ store, registry: client, reference, verifyFirst, onEvent: (event) => events.push(event) });

  /** What happened to the top layer, in order, each state once. */
  function statesOfTop(): string[] {
    const states = events.flatMap((event) =>
      (event.type === 'blob' || event.type === 'layer') && event.digest === top.digest
        ? [`${event.type} ${event.state}`]
        : [],
    );
    return [...new Set(states)];
  }

  function damaged(): Buffer {
    const bytes = Buffer.from(layout.blobs.get(top.digest) ?? '');
    const last = bytes.length - 1;
    bytes[last] = (bytes[last] ?? 0) ^ 1;
    return bytes;
  }

  it('begins to unpack when the whole blob was found right', async () => {
    await pulled(true);
    const states = statesOfTop();
    expect(states).toContain('layer committed');
    expect(states.indexOf('layer unpacking')).toBeGreaterThan(states.indexOf('blob done'));
  });

  it('parses nothing of a blob that turns out wrong', async () => {
    lies.set(top.digest, { body: damaged() });
    expect(await failure(pulled(true))).toMatchObject({ code: 'DIGEST_MISMATCH' });
    expect(statesOfTop()).toContain('blob downloading');
    expect(statesOfTop()).not.toContain('layer unpacking');
  });

  it('without it, unpacks a layer while it arrives', async () => {
    let release: () => void = () => undefined;
    lies.set(top.digest, { halfUntil: new Promise((resolve) => (release = resolve)) });
    const pulling = pull({
      store,
      registry: client,
      reference,
      onEvent: (event) => {
        events.push(event);
        if (event.type === 'layer' && event.digest === top.digest && event.state === 'unpacking') release();
      },
    });
    await pulling;
    const states = statesOfTop();
    expect(states.indexOf('layer unpacking')).toBeLessThan(states.indexOf('blob done'));
  });

  it('reads nothing of a damaged blob that is here, and fetches it anew', async () => {
    await pull({ store, registry: client, reference, unpack: false });
    const path = await store.content.path(top.digest);
    await chmod(path, 0o644);
    await writeFile(path, damaged());
    registry.requests.length = 0;
    await pulled(true);
    expect(registry.requests.filter((line) => line.endsWith(top.digest))).toHaveLength(1);
    expect(statesOfTop()).toContain('layer committed');
    await removeImage(store, reference);
  });
});
