import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RegistryClient } from '../../src/registry/index.js';
import { formatPlatform, hostPlatform } from '../../src/spec/index.js';
import { startDockerRegistry } from '../support/docker-registry.js';
import { needsPeer } from '../support/peers.js';
import { PolicyRuns, type Verdict } from '../support/policy-runs.js';
import { putArtifact, putImage } from '../support/put-artifact.js';
import { ServeProcess } from '../support/serve-process.js';
import {
  type BundleOptions,
  bundleReferrer,
  messageBundle,
  statementBundle,
} from '../support/signature-bundle.js';
import { policyFor, type RequirementJson, signature } from '../support/signature-policies.js';
import { EMAIL, makeSigners, OIDC_ISSUER, type Signers } from '../support/signers.js';
import type { Signer } from '../support/simple-signing.js';
import { makeTinyLayout, type TinyLayout } from '../support/tiny-image.js';

interface Place extends AsyncDisposable {
  /** `127.0.0.1:PORT` */
  readonly address: string;
}

interface Signed {
  readonly layout: TinyLayout;
  readonly signers: Signers;
  /** `127.0.0.1:PORT/team/app` */
  readonly repository: string;
}

interface Row {
  readonly what: string;
  readonly bundle: (signed: Signed) => Promise<object>;
  readonly policy: (signers: Signers) => RequirementJson;
  /** Undefined where it is accepted. */
  readonly code?: 'SIGNATURE_MISSING' | 'SIGNATURE_INVALID';
  /** In the message, or by whom it is signed. */
  readonly says: RegExp;
}

const byKey = ({ logged }: Signers): Signer => ({ key: logged.key });
const ourKey = (type: string) => (signers: Signers) =>
  signature({ keyPath: signers.logged.public, signedIdentity: { type } });
const statement =
  (by: (signers: Signers) => Signer, more: (signed: Signed) => BundleOptions = () => ({})) =>
  (signed: Signed) =>
    statementBundle(signed.layout.target.digest, by(signed.signers), more(signed));
const fulcio = ({ trust }: Signers): RequirementJson =>
  signature({
    fulcio: { caPath: trust.fulcio, oidcIssuer: OIDC_ISSUER, subjectEmail: EMAIL },
    rekorPublicKeyPath: trust.rekor,
    signedIdentity: { type: 'matchDigest' },
  });

const ROWS: readonly Row[] = [
  {
    what: 'a bundle that names nobody, where the digest is enough',
    bundle: statement(byKey),
    policy: ourKey('matchDigest'),
    says: /^key sha256:/,
  },
  {
    what: 'a bundle that names nobody, where the repository is asked for',
    bundle: statement(byKey),
    policy: ourKey('matchRepository'),
    code: 'SIGNATURE_INVALID',
    says: /matchDigest/,
  },
  {
    what: 'a bundle that names the repository',
    bundle: statement(byKey, ({ repository }) => ({ name: repository })),
    policy: ourKey('matchRepository'),
    says: /^key sha256:/,
  },
  {
    what: 'a bundle that names another repository, where the digest is enough',
    bundle: statement(byKey, () => ({ name: 'quay.io/team/app' })),
    policy: ourKey('matchDigest'),
    code: 'SIGNATURE_INVALID',
    says: /quay\.io\/team\/app/,
  },
  {
    what: 'a bundle by another key',
    bundle: statement(({ rsa }) => ({ key: rsa.key })),
    policy: ourKey('matchDigest'),
    code: 'SIGNATURE_INVALID',
    says: /another key/,
  },
  {
    what: 'a bundle for another image',
    bundle: ({ signers, layout }) => statementBundle(layout.manifests[0].config.digest, byKey(signers)),
    policy: ourKey('matchDigest'),
    code: 'SIGNATURE_INVALID',
    says: /sha256:/,
  },
  {
    what: 'a bundle over the bytes of the manifest',
    bundle: ({ layout, signers }) =>
      messageBundle(layout.blobs.get(layout.target.digest) ?? Buffer.alloc(0), byKey(signers)),
    policy: ourKey('matchDigest'),
    says: /^key sha256:/,
  },
  {
    what: 'an attestation, which is no signature',
    bundle: statement(byKey, () => ({ predicateType: 'https://slsa.dev/provenance/v1' })),
    policy: ourKey('matchDigest'),
    code: 'SIGNATURE_MISSING',
    says: /attestation/,
  },
  {
    what: 'a keyless bundle',
    bundle: statement(
      ({ keyless }) => ({ leaf: keyless }),
      ({ signers }) => ({ logged: { log: signers.rekor, time: signers.keylessTime } }),
    ),
    policy: fulcio,
    says: new RegExp(EMAIL),
  },
  {
    what: 'a keyless bundle in another log',
    bundle: statement(
      ({ keyless }) => ({ leaf: keyless }),
      ({ signers }) => ({ logged: { log: signers.otherRekor, time: signers.keylessTime } }),
    ),
    policy: fulcio,
    code: 'SIGNATURE_INVALID',
    says: /log/,
  },
];

async function startServe(work: string): Promise<Place> {
  const serve = await ServeProcess.start(['--root', join(work, 'served'), 'serve', '--writable']);
  return {
    address: `127.0.0.1:${serve.port}`,
    [Symbol.asyncDispose]: () => serve[Symbol.asyncDispose](),
  };
}

describe.skipIf(needsPeer('docker-registry', 'cosign', 'skopeo') !== undefined).each([
  ['which keeps no lists of referrers', () => startDockerRegistry()],
  ['which lists referrers', startServe],
])('sigstore bundles at a registry %s', (_, start: (work: string) => Promise<Place>) => {
  let work: string;
  let place: Place;
  let client: RegistryClient;
  let signers: Signers;
  let runs: PolicyRuns;
  let images = 0;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-bundles-'));
    place = await start(work);
    client = new RegistryClient();
    signers = await makeSigners(join(work, 'signers'));
    runs = await PolicyRuns.in(work, { addresses: [place.address] });
  });
  afterAll(async () => {
    await client.close();
    await place[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  it.each(ROWS)('$what: $code', async ({ bundle, policy, code, says }) => {
    images += 1;
    const path = `team/app-${images}`;
    const remote = client.repository({ registry: place.address, repository: path });
    const repository = `${place.address}/${path}`;
    const layout = await makeTinyLayout(join(work, `image-${images}`), {
      platforms: [formatPlatform(hostPlatform())],
      config: { Labels: { of: path } },
    });
    await putImage(remote, layout, '1');
    const made = await bundle({ layout, signers, repository });
    await putArtifact(remote, bundleReferrer(layout.target, [made]));
    const file = await runs.policy(`policy ${images}`, policyFor(place.address, policy(signers)));
    const verdict = await runs.pull(file, `${repository}:1`);
    if (code === undefined) expectAccepted(verdict, says);
    else {
      expect(verdict).toMatchObject({ exit: 6, code, left: [] });
      expect(`${verdict.message} ${verdict.hint}`).toMatch(says);
    }
    // It reads no bundles, nor does it know matchDigest.
    expect((await runs.skopeo(file, `${repository}:1`)).code).not.toBe(0);
  });

  function expectAccepted({ exit, signatures = [] }: Verdict, says: RegExp): void {
    expect(exit).toBe(0);
    expect(signatures).toMatchObject([{ format: 'bundle', signedBy: expect.stringMatching(says) as string }]);
  }
});
