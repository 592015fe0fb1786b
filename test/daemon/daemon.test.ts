import type { ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Daemon, type DaemonOptions } from '../../src/daemon/daemon.js';
import type { TransferMessage } from '../../src/daemon/transfers/messages.js';
import { openStore, type Store } from '../../src/engine/store.js';
import type { RegistryClient } from '../../src/registry/index.js';
import { deferred } from '../../src/concurrency/index.js';
import { all, call, type GrpcClient, grpcClient, stream } from '../support/grpc-client.js';
import { imageSteps } from '../support/image-steps.js';
import { fastClient } from '../support/registry-fixture.js';
import { errorReply, ScriptedRegistry, type Step } from '../support/scripted-registry.js';
import { makeTinyLayout, type TinyLayout } from '../support/tiny-image.js';
import { PLAIN_DAEMON } from './plain-daemon.js';

/** As much of an answer of reflection as is looked at. */
interface Reflected {
  readonly listServicesResponse: { readonly service: readonly { readonly name: string }[] };
}

const NOT_THERE = ['HEAD', 'GET'].map((method): Step => ({
  on: `${method} /v2/team/none/manifests/1`,
  times: 'any',
  ...errorReply(404, 'MANIFEST_UNKNOWN'),
}));

describe('a daemon', () => {
  let work: string;
  let store: Store;
  let client: RegistryClient;
  let registry: ScriptedRegistry;
  let layout: TinyLayout;
  let admission = deferred<undefined>();
  let daemon: Daemon;
  let socket: string;
  const clients: GrpcClient[] = [];

  const connect = (file: string, service: string): GrpcClient => {
    const connected = grpcClient(file, service, socket);
    clients.push(connected);
    return connected;
  };
  const transfers = (): GrpcClient => connect('transfers-v1.proto', 'landfall.v1.Transfers');
  const images = (): GrpcClient => connect('runtime-v1.proto', 'runtime.v1.ImageService');

  const start = (options: Partial<DaemonOptions> = {}): Promise<Daemon> =>
    Daemon.start({
      store,
      registry: client,
      socket,
      ...PLAIN_DAEMON,
      ...options,
    });

  beforeEach(async () => {
    admission = deferred();
    admission.resolve(undefined);
    work = await mkdtemp(join(tmpdir(), 'landfall-daemon-'));
    socket = join(work, 's.sock');
    layout = await makeTinyLayout(join(work, 'layout'));
    const layers = new Set<string>(layout.manifests[0].layers.map(({ digest }) => digest));
    registry = await ScriptedRegistry.start(
      Array.from({ length: 250 }, (_, tag) => tag).flatMap((tag) =>
        imageSteps(layout, {
          repository: 'team/app',
          tag: String(tag),
          first: ({ line }) => {
            const digest = line.slice(line.lastIndexOf('/') + 1);
            const body = [...layout.blobs].find(([blob]) => blob === digest)?.[1];
            return layers.has(digest) && body !== undefined
              ? { body, ranges: true, after: admission.promise }
              : undefined;
          },
        }),
      ),
    );
    registry.expect(...NOT_THERE);
    client = fastClient({ plainHttp: true });
    store = await openStore({ root: join(work, 'store'), sync: 'none' });
    daemon = await start();
  });
  afterEach(async () => {
    admission.resolve(undefined);
    for (const one of clients.splice(0)) one.close();
    await daemon.stop(0);
    await client.close();
    await store.close();
    await registry[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  const reference = (tag = '0'): string => `${registry.address}/team/app:${tag}`;

  it('lists its images in a stream, each once, and ends it', async () => {
    await call(images(), 'PullImage', { image: { image: reference() } });
    const { target } = (await store.images.list())[0] ?? {};
    if (target === undefined) throw new Error('nothing was pulled');
    const streamed = await all(
      stream<{ images: { id: string; repoTags: string[] }[] }>(images(), 'StreamImages'),
    );
    const listed = await call<{ images: object[] }>(images(), 'ListImages');
    expect(streamed.flatMap((message) => message.images)).toEqual(listed.images);
    expect(listed.images).toHaveLength(1);
  });

  it('has a stream without messages where it has no images', async () => {
    expect(await all(stream(images(), 'StreamImages'))).toEqual([]);
  });

  it('says that it serves, and what', async () => {
    const health = connectHealth();
    await expect(call(health, 'check', { service: 'runtime.v1.ImageService' })).resolves.toEqual({
      status: 'SERVING',
    });
    await expect(call(health, 'check', { service: '' })).resolves.toEqual({ status: 'SERVING' });
  });

  it('tells by reflection what it serves', async () => {
    const file = '../../node_modules/@grpc/reflection/build/proto/grpc/reflection/v1/reflection.proto';
    const reflection = grpcClient(
      resolve(import.meta.dirname, file),
      'grpc.reflection.v1.ServerReflection',
      socket,
    );
    clients.push(reflection);
    const asking = reflection['ServerReflectionInfo']?.() as ClientDuplexStream<object, Reflected>;
    asking.write({ listServices: '' });
    const [answered] = (await once(asking, 'data')) as [Reflected];
    asking.end();
    expect(answered.listServicesResponse.service.map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        'runtime.v1.ImageService',
        'runtime.v1.RuntimeService',
        'landfall.v1.Transfers',
      ]),
    );
  });

  const connectHealth = (): GrpcClient => {
    const file = resolve(
      import.meta.dirname,
      '../../node_modules/grpc-health-check/proto/health/v1/health.proto',
    );
    const connected = grpcClient(file, 'grpc.health.v1.Health', socket);
    clients.push(connected);
    return connected;
  };

  it('pulls for who asks, and tells what the pull tells', async () => {
    const updates = await all(
      stream<{ event?: string; result?: string }>(transfers(), 'Pull', { reference: reference() }),
    );
    const events = updates.flatMap(({ event }) =>
      event === undefined ? [] : [JSON.parse(event) as { type: string }],
    );
    expect(events[0]).toMatchObject({ type: 'resolving' });
    expect(events.at(-1)).toMatchObject({ type: 'done' });
    expect(JSON.parse(updates.at(-1)?.result ?? '')).toMatchObject({
      reference: reference(),
      platform: 'linux/amd64',
      imageId: layout.manifests[0].config.digest,
    });
  });

  it('tells why a pull failed, with the code', async () => {
    const failed = all(stream(transfers(), 'Pull', { reference: `${registry.address}/team/none:1` }));
    const error = await failed.then(
      () => undefined,
      (thrown: unknown) => thrown as ServiceError,
    );
    expect(error?.metadata.get('landfall-error-code')).toEqual(['NOT_FOUND']);
  });

  it('tells of transfers as they come further, and cancels one', async () => {
    admission = deferred();
    const asked = transfers();
    const pulling = all(stream(asked, 'Pull', { reference: reference() })).catch(
      (error: unknown) => error as ServiceError,
    );
    const watching = stream<{ transfers: TransferMessage[] }>(asked, 'Watch');
    const seen: TransferMessage[] = [];
    for await (const { transfers: reported } of watching) {
      seen.push(...reported);
      const [one] = reported;
      if (one?.state === 'TRANSFERRING' && one.layers.length > 0) {
        expect((await call<{ transfers: TransferMessage[] }>(asked, 'List')).transfers).toHaveLength(1);
        await call(asked, 'Cancel', { id: one.id });
      }
      if (one?.state === 'FAILED') watching.cancel();
      if (one?.state === 'FAILED') break;
    }
    expect(seen.at(-1)).toMatchObject({ reference: reference(), state: 'FAILED', errorCode: 'ABORTED' });
    expect(await pulling).toMatchObject({ code: 1 });
    expect((await call<{ transfers: TransferMessage[] }>(asked, 'List')).transfers).toEqual([]);
    expect((await call<{ cancelled: boolean }>(asked, 'Cancel', { id: 'none' })).cancelled).toBe(false);
  });

  it('stops a pull whose caller hangs up, and keeps what came', async () => {
    admission = deferred();
    const pulling = stream(transfers(), 'Pull', { reference: reference() });
    const ended = all(pulling).catch(() => undefined);
    await expect.poll(() => daemon.pulls.list()[0]?.layers.length ?? 0).toBeGreaterThan(0);
    pulling.cancel();
    await ended;
    await expect.poll(() => daemon.pulls.list().length).toBe(0);
    expect(await store.images.list()).toEqual([]);
  });

  it('leaves no socket and no word of itself', async () => {
    expect(await readdir(work)).toContain('s.sock');
    await daemon.stop(0);
    expect(await readdir(work)).not.toContain('s.sock');
    expect(await readdir(join(work, 'store'))).not.toContain('daemon.json');
    daemon = await start();
  });
});
