import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RegistryClient } from '../../src/registry/index.js';
import { cosignVerify } from '../support/cosign.js';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.js';
import { needsPeer } from '../support/peers.js';
import { PolicyRuns, type Verdict } from '../support/policy-runs.js';
import { type ExpectedVerdicts, MATRIX, type MatrixRow, ROWS } from '../support/signature-matrix.js';
import { POLICIES } from '../support/signature-policies.js';
import { digestName, imageOf, publishSignedImages, type SignedImages } from '../support/signed-images.js';
import { makeSigners, type Signers } from '../support/signers.js';

function expectedOf(policy: string): ExpectedVerdicts {
  const expected = MATRIX[policy];
  if (expected === undefined) throw new Error(`nothing is expected of the policy ${policy}`);
  return expected;
}

describe.skipIf(needsPeer('docker-registry', 'skopeo', 'cosign') !== undefined)(
  'signature policies, beside skopeo and cosign',
  () => {
    let work: string;
    let registry: DockerRegistry;
    let client: RegistryClient;
    let signers: Signers;
    let images: SignedImages;
    let runs: PolicyRuns;
    const files = new Map<string, string>();
    beforeAll(async () => {
      work = await mkdtemp(join(tmpdir(), 'landfall-signatures-'));
      registry = await startDockerRegistry();
      const { address } = registry;
      client = new RegistryClient();
      signers = await makeSigners(join(work, 'signers'));
      images = await publishSignedImages({ client, address, signers });
      runs = await PolicyRuns.in(work, { addresses: [address], cwd: signers.dir });
      for (const [name, make] of Object.entries(POLICIES)) {
        files.set(name, await runs.policy(name, make({ ...signers, address })));
      }
    });
    afterAll(async () => {
      await client.close();
      await registry.stop();
      await rm(work, { recursive: true, force: true });
    });

    it('say something of every policy', () => {
      expect(Object.keys(MATRIX)).toEqual(Object.keys(POLICIES));
    });

    it.each(ROWS)('$policy: $image is answered with $code', async (row) => {
      const { policy, image, code } = row;
      const file = files.get(policy) ?? '';
      const { name, repository } = imageOf(images, image);
      // A relative path would be found from there.
      const started = policy === 'a relative path' ? { cwd: signers.dir } : {};
      const [pulled, copied, skopeo] = await Promise.all([
        runs.pull(file, name, started),
        row.copied ? runs.copy(file, name, started) : undefined,
        runs.skopeo(file, name),
      ]);
      const { cosign, skopeo: differences = {} } = expectedOf(policy);
      for (const verdict of [pulled, copied].filter((one) => one !== undefined)) {
        if (code === undefined) expect(verdict).toMatchObject({ exit: 0 });
        else await expectRefused(row, verdict);
      }
      if (code === undefined && cosign !== undefined) {
        await expectCosigned(pulled, repository, cosign(signers));
      }
      const opposite = differences[image] !== undefined;
      expect(skopeo.code === 0, skopeo.stderr).toBe((code === undefined) !== opposite);
    });

    it.each([
      ['a tag of the repository will do', 'matchRepoDigestOrExact', 'ours as another tag', true],
      ['a repository without a tag will not', 'matchRepoDigestOrExact', 'ours', false],
      ['a tag is not exact', 'matchExact', 'ours as another tag', false],
      ['the repository is the same', 'our key', 'ours', true],
      ['a rule for the tag is not for it', 'a tag', 'ours', false],
      ['a rule for the repository is', 'a repository', 'ours', true],
    ] as const)('by digest, %s: %s, %s', async (_, policy, image, accepted) => {
      const file = files.get(policy) ?? '';
      const name = digestName(imageOf(images, image));
      const [pulled, skopeo] = await Promise.all([runs.pull(file, name), runs.skopeo(file, name)]);
      expect(pulled).toMatchObject({ exit: accepted ? 0 : 6, left: [] });
      expect(skopeo.code === 0, skopeo.stderr).toBe(accepted);
    });

    it('need no second file to be looked for, which skopeo does', async () => {
      const elsewhere = await mkdtemp(join(work, 'elsewhere-'));
      const unaware = await PolicyRuns.in(elsewhere, { addresses: [] });
      const [file, { name }] = [files.get('our key') ?? '', imageOf(images, 'ours')];
      expect(await unaware.pull(file, name)).toMatchObject({ exit: 0 });
      expect((await unaware.skopeo(file, name)).stderr).toContain('no signature exists');
    });

    /** It says what decided and where, and leaves nothing behind. */
    async function expectRefused({ policy, code }: MatrixRow, verdict: Verdict): Promise<void> {
      const file = files.get(policy) ?? '';
      const { line, scope = (address: string) => `docker:${address}` } = expectedOf(policy);
      expect(verdict).toMatchObject({ code, exit: code === 'UNSUPPORTED' ? 1 : 6, left: [] });
      const at = verdict.details?.line ?? 0;
      expect(verdict.message).toContain(`${file}:${line ?? at}`);
      expect(verdict.details).toMatchObject({ policy: file });
      if (line !== undefined) return;
      const expected = scope(registry.address);
      expect(verdict.details).toMatchObject({ scope: expected });
      expect(verdict.message).toContain(expected);
      const lines = (await readFile(file, 'utf8')).split('\n');
      expect(lines[at - 1]).toContain(JSON.stringify(expected.replace(/^docker:/, '')));
    }

    /** cosign finds the signature that was taken, at the manifest or index that it is for. */
    async function expectCosigned(
      { signatures = [] }: Verdict,
      repository: string,
      by: readonly string[],
    ): Promise<void> {
      expect(signatures).not.toEqual([]);
      for (const { digest } of signatures) {
        const { code, stderr } = await cosignVerify(`${repository}@${digest}`, by);
        expect(code, stderr).toBe(0);
      }
    }
  },
);
