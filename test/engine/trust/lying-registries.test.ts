import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ErrorCode } from '../../../src/errors.js';
import { openStore, type Store } from '../../../src/engine/store.js';
import { pull } from '../../../src/engine/pull/pull.js';
import type { PullResult } from '../../../src/engine/pull/pull-report.js';
import { formatPlatform, hostPlatform, LIMITS, MEDIA_TYPES } from '../../../src/spec/index.js';
import { PolicyFile } from '../../../src/trust/index.js';
import { failure, fastClient } from '../../support/registry-fixture.js';
import {
  errorReply,
  manifestReply,
  redirectReply,
  ScriptedRegistry,
  type SeenRequest,
} from '../../support/scripted-registry.js';
import type { Reply } from '../../support/scripted-reply.js';
import { bundleReferrer, statementBundle } from '../../support/signature-bundle.js';
import { startSignedRegistry, type SignedRegistryOptions } from '../../support/signed-registry.js';
import { signingKey } from '../../support/signing-keys.js';
import {
  flipped,
  hugePayload,
  manyReferrers,
  manySignatures,
  payloadBytes,
  payloadOf,
  reworded,
} from '../../support/false-signatures.js';
import {
  type SignatureArtifact,
  signatureTag,
  simpleSignature,
  simpleSigningManifest,
} from '../../support/simple-signing.js';
import { makeTinyLayout, type TinyLayout } from '../../support/tiny-image.js';

/*
 * What a registry can do, or whoever stands before it, once it knows that signatures are asked for. It has no key.
 */

const KEY = signingKey();
/** What the signatures say that they are for. */
const NAME = 'registry.test/team/app';
/** A client that has no patience. */
/** More than anybody sends who is asked for a signature. */
const ENDLESS = 64 * 1024 * 1024;
const IMPATIENT = {
  timeouts: { connectMs: 300, headersMs: 300, bodyMs: 300 },
  retry: { attempts: 1, baseMs: 1 },
};
const HERE = formatPlatform(hostPlatform());

let work: string;
let policy: PolicyFile;
/** What was signed, and what nobody has signed. */
let signed: TinyLayout;
let evil: TinyLayout;
let index: TinyLayout;
/** Of `signed`. */
let signature: Required<SignatureArtifact>;
let bundle: SignatureArtifact;
let store: Store;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'landfall-lying-registries-'));
  const keyPath = join(work, 'key.pem');
  await writeFile(keyPath, KEY.pem);
  const requirement = {
    type: 'sigstoreSigned',
    keyPath,
    signedIdentity: { type: 'exactRepository', dockerRepository: NAME },
  };
  const file = join(work, 'policy.json');
  await writeFile(file, JSON.stringify({ default: [requirement] }));
  policy = new PolicyFile(file);
  const of = (name: string, platforms: readonly string[]): Promise<TinyLayout> =>
    makeTinyLayout(join(work, name), { platforms, config: { Labels: { name } } });
  signed = await of('signed', [HERE]);
  evil = await of('evil', [HERE]);
  index = await of('index', [HERE, 'linux/s390x']);
  signature = simpleSigningManifest(signed.target.digest, [
    await simpleSignature(signed.target.digest, { key: KEY }, { identity: NAME }),
  ]);
  bundle = bundleReferrer(signed.target, [
    await statementBundle(signed.target.digest, { key: KEY }, { name: NAME }),
  ]);
});
afterAll(async () => {
  await rm(work, { recursive: true, force: true });
});
beforeEach(async () => {
  store = await openStore({ root: await mkdtemp(join(work, 'root-')), sync: 'none', workers: 1 });
  return () => store.close();
});

/** A registry with the signed image and its signature, and a pull of it under the policy. */
interface Attempt extends AsyncDisposable {
  readonly registry: ScriptedRegistry;
  readonly pulling: () => Promise<PullResult>;
}

async function attempt(options: Partial<SignedRegistryOptions>, impatient = false): Promise<Attempt> {
  const registry = await startSignedRegistry({ layout: signed, ...options });
  const client = fastClient(impatient ? IMPATIENT : {});
  return {
    registry,
    pulling: () => pull({ store, registry: client, reference: `${registry.address}/team/app:1`, policy }),
    [Symbol.asyncDispose]: async () => {
      await client.close();
      await registry[Symbol.asyncDispose]();
    },
  };
}

type Lie = (request: SeenRequest) => Reply | undefined;

const manifests = (name: string): string => `/v2/team/app/manifests/${name}`;
const blob = (digest: string): string => `/v2/team/app/blobs/${digest}`;
const pathOf = ({ line }: SeenRequest): string => line.split(' ')[1]?.split('?')[0] ?? '';
const at =
  (path: string, reply: Reply): Lie =>
  (request) =>
    pathOf(request) === path ? reply : undefined;
/** Everything that a signature may be found by. */
const ofSignatures =
  (reply: Reply): Lie =>
  (request) =>
    /\.sig$|\/referrers\//.test(pathOf(request)) ? reply : undefined;
const documentOf = ({ target, blobs }: TinyLayout): Reply =>
  manifestReply(blobs.get(target.digest) ?? '', target.mediaType, target.digest);

/** No layer and no config was asked for, and nothing is in the store. */
async function expectNothingTaken(registry: ScriptedRegistry): Promise<void> {
  const ofImages = [signed, evil, index].flatMap(({ manifests: all }) =>
    all.flatMap(({ config, layers }) => [config, ...layers].map(({ digest }) => blob(digest))),
  );
  expect(registry.requests.map(pathOf).filter((path) => ofImages.includes(path))).toEqual([]);
  expect(await store.images.list()).toEqual([]);
  const held: string[] = [];
  for await (const { digest } of store.content.list()) held.push(digest);
  expect(held).toEqual([]);
}

interface Attack {
  readonly name: string;
  readonly code: ErrorCode;
  /** What the message says, in part. */
  readonly says: RegExp;
  readonly by: () => Partial<SignedRegistryOptions>;
  readonly impatient?: boolean;
}

const honest = (): Partial<SignedRegistryOptions> => ({ tagged: [signature] });
const lying = (lie: () => Lie) => (): Partial<SignedRegistryOptions> => ({ tagged: [signature], lie: lie() });

const ATTACKS: readonly Attack[] = [
  {
    name: 'says that there are no signatures',
    code: 'SIGNATURE_MISSING',
    says: /is not signed/,
    by: lying(() => ofSignatures(errorReply(404, 'MANIFEST_UNKNOWN'))),
  },
  {
    name: 'serves an image that nobody signed under the tag',
    code: 'SIGNATURE_MISSING',
    says: /is not signed/,
    by: lying(() => at(manifests('1'), documentOf(evil))),
  },
  {
    name: 'serves an image that nobody signed, with the signature of another at its tag',
    code: 'SIGNATURE_INVALID',
    says: /it is for sha256:/,
    by: () => ({ layout: evil, tagged: [{ ...signature, tag: signatureTag(evil.target.digest) }] }),
  },
  {
    name: 'serves an image that nobody signed, with the bundle of another as its referrer',
    code: 'SIGNATURE_INVALID',
    says: /does not refer to/,
    by: () => ({ layout: evil, referrers: [bundle] }),
  },
  {
    name: 'serves an index that nobody signed, with the signature of another image at its tag',
    code: 'SIGNATURE_INVALID',
    says: /it is for sha256:/,
    by: () => ({ layout: index, tagged: [{ ...signature, tag: signatureTag(index.target.digest) }] }),
  },
  {
    name: 'serves other bytes as the manifest of the signatures',
    code: 'SIGNATURE_INVALID',
    says: /the content of sha256:[0-9a-f]+ has the digest/,
    by: lying(() =>
      at(
        manifests(signature.manifest.digest),
        manifestReply(reworded(signature), MEDIA_TYPES.ociManifest, signature.manifest.digest),
      ),
    ),
  },
  {
    name: 'serves other bytes as the payload',
    code: 'SIGNATURE_INVALID',
    says: /the content of sha256:[0-9a-f]+ has the digest/,
    by: lying(() => at(blob(payloadOf(signature).digest), { body: flipped(payloadBytes(signature)) })),
  },
  {
    name: 'has lost the payload',
    code: 'SIGNATURE_INVALID',
    says: /: not found/,
    by: lying(() => at(blob(payloadOf(signature).digest), errorReply(404, 'BLOB_UNKNOWN'))),
  },
  {
    name: 'sends a payload that does not end',
    code: 'SIGNATURE_INVALID',
    says: /should have \d+ bytes, and 127.0.0.1:\d+ sends more/,
    by: lying(() => at(blob(payloadOf(signature).digest), { body: Buffer.alloc(ENDLESS), chunked: true })),
  },
  {
    name: 'lists a payload that is larger than any',
    code: 'SIGNATURE_INVALID',
    says: /\(1073741824 bytes\), more than 4\.2 MB/,
    by: () => ({ tagged: [hugePayload(signature)] }),
  },
  {
    name: 'lists more payloads than anybody checks',
    code: 'SIGNATURE_INVALID',
    says: /of 256\): it was made by another key/,
    by: () => ({ tagged: [manySignatures(signature, LIMITS.signatures + 1)] }),
  },
  {
    name: 'lists 10,000 referrers',
    code: 'SIGNATURE_INVALID',
    says: /more than 256 referrers/,
    by: () => ({ lie: at(`/v2/team/app/referrers/${signed.target.digest}`, manyReferrers(10_000)) }),
  },
  {
    name: 'sends whoever asks for a payload around in a circle',
    code: 'REDIRECT_REFUSED',
    says: /could not be fetched/,
    by: lying(() => at(blob(payloadOf(signature).digest), redirectReply(blob(payloadOf(signature).digest)))),
  },
  ...[401, 403].map((status): Attack => ({
    name: `answers ${status} for signatures`,
    code: status === 401 ? 'UNAUTHORIZED' : 'DENIED',
    says: /signatures of .* could not be fetched/,
    by: lying(() => ofSignatures(errorReply(status, 'DENIED'))),
  })),
  ...[500, 503].map((status): Attack => ({
    name: `answers ${status} for signatures`,
    code: 'UNAVAILABLE',
    says: /signatures of .* could not be fetched/,
    by: lying(() => ofSignatures(errorReply(status, 'UNKNOWN'))),
  })),
  {
    name: 'answers 404 for the tag and 503 for the referrers',
    code: 'UNAVAILABLE',
    says: /signatures of .* could not be fetched/,
    by: () => ({ lie: at(`/v2/team/app/referrers/${signed.target.digest}`, errorReply(503, 'UNKNOWN')) }),
  },
  {
    name: 'answers 503 for the tag, and has no referrers',
    code: 'UNAVAILABLE',
    says: /signatures of .* could not be fetched/,
    by: lying(() => at(manifests(signatureTag(signed.target.digest)), errorReply(503, 'UNKNOWN'))),
  },
  {
    name: 'answers 503 for the manifest of the signatures',
    code: 'UNAVAILABLE',
    says: /signatures of .* could not be fetched/,
    by: lying(() => at(manifests(signature.manifest.digest), errorReply(503, 'UNKNOWN'))),
  },
  {
    name: 'answers 503 for the payload',
    code: 'UNAVAILABLE',
    says: /signatures of .* could not be fetched/,
    by: lying(() => at(blob(payloadOf(signature).digest), errorReply(503, 'UNKNOWN'))),
  },
  {
    name: 'never answers for signatures',
    code: 'UNAVAILABLE',
    says: /signatures of .* could not be fetched/,
    by: lying(() => ofSignatures({ stallAfter: -1 })),
    impatient: true,
  },
  {
    name: 'never ends the payload',
    code: 'UNAVAILABLE',
    says: /signatures of .* could not be fetched/,
    by: lying(() => at(blob(payloadOf(signature).digest), { body: payloadBytes(signature), stallAfter: 7 })),
    impatient: true,
  },
];

describe('a pull under a policy, from a registry that', () => {
  it.each(ATTACKS)('$name: $code', async ({ by, code, says, impatient }) => {
    await using lied = await attempt(by(), impatient);
    const error = await failure(lied.pulling());
    expect({ code: error.code, message: error.message }).toMatchObject({
      code,
      message: expect.stringMatching(says) as string,
    });
    await expectNothingTaken(lied.registry);
    expect(lied.registry.sent.total()).toBeLessThan(ENDLESS / 2);
    expect(lied.registry.requests.length).toBeLessThan(2 * LIMITS.signatures);
  });
});

describe('a pull under a policy goes on', () => {
  it('with what was verified, wherever the tag has moved by then', async () => {
    let seen = 0;
    const moving: Lie = (request) =>
      pathOf(request) === manifests('1') && (seen += 1) > 1 ? documentOf(evil) : undefined;
    await using lied = await attempt({ ...honest(), lie: moving });
    const { digest, signatures } = await lied.pulling();
    expect(digest).toBe(signed.target.digest);
    expect(signatures).toMatchObject([{ digest, signature: signature.manifest.digest }]);
    expect(lied.registry.requests.map(pathOf)).not.toContain(manifests(evil.target.digest));
  });

  it('with nothing but what was verified, though other bytes are sent for its digest', async () => {
    await using lied = await attempt({
      ...honest(),
      lie: at(manifests(signed.target.digest), documentOf(evil)),
    });
    const { code } = await failure(lied.pulling());
    expect(code).toBe('DIGEST_MISMATCH');
    const paths = lied.registry.requests.map(pathOf);
    expect(paths.filter((path) => path.startsWith('/v2/team/app/blobs/'))).toEqual([
      blob(payloadOf(signature).digest),
    ]);
    expect(await store.images.list()).toEqual([]);
  });

  it('by a signature that is found, whatever else cannot be asked', async () => {
    const referrers = `/v2/team/app/referrers/${signed.target.digest}`;
    await using lied = await attempt({ ...honest(), lie: at(referrers, errorReply(403, 'DENIED')) });
    expect(await lied.pulling()).toMatchObject({ digest: signed.target.digest });
  });

  it('by a bundle among referrers that are none', async () => {
    await using lied = await attempt({
      referrers: [bundleReferrer(signed.target, [Buffer.from('{')]), bundle],
    });
    expect(await lied.pulling()).toMatchObject({ signatures: [{ format: 'bundle' }] });
  });

  it('by a signature that lies elsewhere, as blobs may', async () => {
    await using elsewhere = await ScriptedRegistry.start([
      { on: 'GET /store/payload', body: payloadBytes(signature) },
    ]);
    const lie = at(blob(payloadOf(signature).digest), redirectReply(`${elsewhere.origin}/store/payload`));
    await using lied = await attempt({ ...honest(), lie });
    expect(await lied.pulling()).toMatchObject({ digest: signed.target.digest });
  });
});
