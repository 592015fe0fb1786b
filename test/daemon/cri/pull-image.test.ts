import { type ServiceError, status } from '@grpc/grpc-js';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Daemon, type DaemonOptions } from '../../../src/daemon/daemon.js';
import { openStore, type Store } from '../../../src/engine/store.js';
import type { RegistryClient } from '../../../src/registry/index.js';
import { PolicyDirectory, PolicyFile } from '../../../src/trust/index.js';
import { all, call, type GrpcClient, grpcClient, stream } from '../../support/grpc-client.js';
import { fastClient } from '../../support/registry-fixture.js';
import { signature } from '../../support/signature-policies.js';
import { signingKey } from '../../support/signing-keys.js';
import { makeTinyLayout, type TinyLayout } from '../../support/tiny-image.js';
import { SignedUpstream } from '../signed-upstream.js';
import { PLAIN_DAEMON } from '../plain-daemon.js';

const OURS = signingKey();
const ANYTHING = { default: [{ type: 'insecureAcceptAnything' }] };

interface Failure {
  readonly code: status;
  readonly details: string;
}

describe('PullImage under a signature policy', () => {
  let work: string;
  let store: Store;
  let client: RegistryClient;
  let upstream: SignedUpstream;
  let layout: TinyLayout;
  let daemon: Daemon;
  const clients: GrpcClient[] = [];

  beforeEach(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-cri-policy-'));
    await mkdir(join(work, 'namespaces'));
    await writeFile(join(work, 'ours.pub'), OURS.pem);
    await writePolicy('namespaces/strict.json', strict());
    layout = await makeTinyLayout(join(work, 'layout'), { platforms: ['linux/amd64', 'linux/arm64'] });
    upstream = await SignedUpstream.start();
    upstream.put(layout, '1');
    client = fastClient({ plainHttp: true });
    store = await openStore({ root: join(work, 'store'), sync: 'none', workers: 1 });
  });
  afterEach(async () => {
    for (const connected of clients.splice(0)) connected.close();
    await daemon.stop(0);
    await client.close();
    await store.close();
    await upstream[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  const strict = (): object => ({ default: [signature({ keyPath: join(work, 'ours.pub') })] });
  const writePolicy = (name: string, policy: object): Promise<void> =>
    writeFile(join(work, name), JSON.stringify(policy));
  const start = async (own?: object, more: Partial<DaemonOptions> = {}): Promise<void> => {
    if (own !== undefined) await writePolicy('own.json', own);
    const policy = own === undefined ? undefined : new PolicyFile(join(work, 'own.json'));
    daemon = await Daemon.start({
      store,
      registry: client,
      policy,
      policies: new PolicyDirectory(join(work, 'namespaces'), policy),
      socket: join(work, 's.sock'),
      ...PLAIN_DAEMON,
      ...more,
    });
  };
  const connect = (file: string, service: string): GrpcClient => {
    const connected = grpcClient(file, service, join(work, 's.sock'));
    clients.push(connected);
    return connected;
  };
  const images = (): GrpcClient => connect('runtime-v1.proto', 'runtime.v1.ImageService');
  const pullFor = (namespace?: string): Promise<object> =>
    call(images(), 'PullImage', {
      image: { image: upstream.name('1') },
      ...(namespace === undefined ? {} : { sandboxConfig: { metadata: { name: 'p', uid: 'u', namespace } } }),
    });
  const failing = (made: Promise<unknown>): Promise<Failure | undefined> =>
    made.then(
      () => undefined,
      (error: unknown) => error as ServiceError,
    );
  const REFUSED = {
    code: status.UNKNOWN,
    details: expect.stringMatching(/^SignatureValidationFailed: /) as string,
  };
  const imageRef = (): string => layout.manifests[0].config.digest;

  it("holds an image against the policy of its pod's namespace, and others against the daemon's own", async () => {
    await start(ANYTHING);
    const refusal = await failing(pullFor('strict'));
    expect(refusal).toMatchObject(REFUSED);
    expect(refusal?.details).toContain(join(work, 'namespaces/strict.json'));
    expect(upstream.layerRequests()).toEqual([]);
    expect(await store.images.list()).toEqual([]);
    await writePolicy('namespaces/closed.json', { default: [{ type: 'reject' }] });
    expect(await failing(pullFor('closed'))).toMatchObject(REFUSED);
    expect(await pullFor('default')).toEqual({ imageRef: imageRef() });
    expect(await pullFor()).toEqual({ imageRef: imageRef() });
  });

  it('holds an image that is here against it once more', async () => {
    await start();
    expect(await pullFor('default')).toEqual({ imageRef: imageRef() });
    expect(await failing(pullFor('strict'))).toMatchObject(REFUSED);
    await upstream.sign(layout.target, OURS);
    expect(await pullFor('strict')).toEqual({ imageRef: imageRef() });
  });

  it('joins no pull that another policy lets through', async () => {
    await start(ANYTHING);
    const release = upstream.registry.hold();
    const loose = pullFor('default');
    await vi.waitFor(() => expect(upstream.layerRequests().length).toBeGreaterThan(0), { timeout: 30_000 });
    expect(await failing(pullFor('strict'))).toMatchObject(REFUSED);
    release();
    expect(await loose).toEqual({ imageRef: imageRef() });
  });

  it.each([
    ['asks for GPG', { default: [{ type: 'signedBy', keyType: 'GPGKeys', keyPath: '/etc/keys/ours.gpg' }] }],
    ['cannot be understood', { default: [{ type: 'acceptMost' }] }],
  ])('says in the same words that a policy %s', async (_, policy) => {
    await writePolicy('namespaces/odd.json', policy);
    await start(ANYTHING);
    expect(await failing(pullFor('odd'))).toMatchObject(REFUSED);
    expect(upstream.registry.requests).toEqual([]);
  });

  it('refuses what is no namespace, and all where the directory is gone', async () => {
    await start(ANYTHING);
    expect(await failing(pullFor('../own'))).toMatchObject(REFUSED);
    await rm(join(work, 'namespaces'), { recursive: true });
    expect(await failing(pullFor('default'))).toMatchObject(REFUSED);
    expect(await pullFor()).toEqual({ imageRef: imageRef() });
  });

  it('says that the registry is unavailable where signatures cannot be asked for', async () => {
    await upstream.sign(layout.target, OURS);
    await start(ANYTHING);
    upstream.loseSignatures();
    expect(await failing(pullFor('strict'))).toMatchObject({
      code: status.UNKNOWN,
      details: expect.stringMatching(/^RegistryUnavailable: /) as string,
    });
    expect(upstream.layerRequests()).toEqual([]);
    upstream.registry.trouble = undefined;
    expect(await pullFor('strict')).toEqual({ imageRef: imageRef() });
  });

  it('does so too where they are waited for in vain', async () => {
    await start(strict(), { progressTimeoutMs: 500 });
    upstream.registry.trouble = ({ url = '' }) => /\.sig|referrers/.test(url);
    expect(await failing(pullFor())).toMatchObject({
      code: status.UNKNOWN,
      details: expect.stringMatching(/^RegistryUnavailable: /) as string,
    });
    expect(upstream.layerRequests()).toEqual([]);
    await upstream.registry.away();
  });

  it('pulls what was verified, whatever its tag leads to by then', async () => {
    const other = await makeTinyLayout(join(work, 'other'), {
      layers: [[{ path: 'evil', content: 'evil' }]],
    });
    await upstream.sign(layout.target, OURS);
    await start(strict());
    upstream.registry.trouble = ({ url = '' }) => {
      if (url.includes('.sig')) upstream.put(other, '1');
      return false;
    };
    expect(await pullFor()).toEqual({ imageRef: imageRef() });
    const swapped = other.manifests[0].layers.map(({ digest }) => digest as string);
    expect(
      upstream.layerRequests().filter((line) => swapped.some((digest) => line.includes(digest))),
    ).toEqual([]);
    expect(await failing(pullFor())).toMatchObject(REFUSED);
  });

  it('asks for nothing more where no signatures are asked for', async () => {
    await start();
    await pullFor('default');
    const plain = [...upstream.registry.requests];
    expect(plain.filter((line) => /\.sig|referrers/.test(line))).toEqual([]);
    await call(images(), 'RemoveImage', { image: { image: upstream.name('1') } });
    upstream.registry.requests.length = 0;
    await daemon.stop(0);
    await start(ANYTHING);
    await pullFor('default');
    expect(upstream.registry.requests.toSorted()).toEqual(plain.toSorted());
  });

  it('tells in the verbose status by whom an image is signed', async () => {
    const { manifest } = await upstream.sign(layout.target, OURS);
    await start(strict());
    await pullFor();
    const { info } = await call<{ info: { info: string } }>(images(), 'ImageStatus', {
      image: { image: upstream.name('1') },
      verbose: true,
    });
    expect((JSON.parse(info.info) as { signatures: unknown }).signatures).toEqual([
      {
        digest: layout.target.digest,
        signedBy: `key ${OURS.fingerprint.slice(0, 23)}`,
        policy: join(work, 'own.json'),
        scope: 'default',
        verifiedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as string,
        format: 'simple-signing',
        signature: manifest.digest,
      },
    ]);
  });

  it("holds what landfall's own commands and the list ask for against the daemon's own", async () => {
    const list = join(work, 'list');
    await writeFile(list, `${upstream.name('1')}\n`);
    const problems: string[] = [];
    await start(strict(), {
      prePull: { file: list, onProblem: (error) => problems.push((error as { code: string }).code) },
    });
    const transfers = connect('transfers-v1.proto', 'landfall.v1.Transfers');
    const pulled = all(stream(transfers, 'Pull', { reference: upstream.name('1') }));
    expect(await failing(pulled)).toMatchObject({ code: status.FAILED_PRECONDITION });
    await vi.waitFor(() => expect(problems).toEqual(['SIGNATURE_MISSING']), { timeout: 30_000 });
    expect(upstream.layerRequests()).toEqual([]);
  });
});
