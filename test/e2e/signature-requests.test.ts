import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RegistryClient } from '../../src/registry/index.js';
import { formatPlatform, hostPlatform } from '../../src/spec/index.js';
import { type CosignKey, cosignKey, cosignSign } from '../support/cosign.js';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.js';
import { needsPeer } from '../support/peers.js';
import { PolicyRuns, type Verdict } from '../support/policy-runs.js';
import { putImage } from '../support/put-artifact.js';
import { requestsOf } from '../support/registry-facts.js';
import { policyFor, signature } from '../support/signature-policies.js';
import { signatureTag } from '../support/simple-signing.js';
import { makeTinyLayout, type TinyLayout } from '../support/tiny-image.js';
import { landfall, landfallJson } from '../support/warm-command.js';

describe.skipIf(needsPeer('docker-registry', 'cosign') !== undefined)('what a registry is asked', () => {
  let work: string;
  let registry: DockerRegistry;
  let client: RegistryClient;
  let layout: TinyLayout;
  let ours: CosignKey;
  let theirs: CosignKey;
  let runs: PolicyRuns;
  let strict: string;
  let other: string;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-signature-requests-'));
    registry = await startDockerRegistry();
    client = new RegistryClient();
    const platforms = [formatPlatform(hostPlatform()), 'linux/s390x'];
    layout = await makeTinyLayout(join(work, 'image'), { platforms });
    for (const repository of ['team/signed', 'team/unsigned']) {
      await putImage(client.repository({ registry: registry.address, repository }), layout, '1');
    }
    [ours, theirs] = [await cosignKey(work, 'ours'), await cosignKey(work, 'theirs')];
    await cosignSign(`${registry.address}/team/signed@${layout.target.digest}`, { key: ours });
    runs = await PolicyRuns.in(work, { addresses: [] });
    strict = await runs.policy('strict', policyFor(registry.address, signature({ keyPath: ours.public })));
    other = await runs.policy('other', policyFor(registry.address, signature({ keyPath: theirs.public })));
  });
  afterAll(async () => {
    await client.close();
    await registry.stop();
    await rm(work, { recursive: true, force: true });
  });

  const image = (name: string): string => `${registry.address}/team/${name}:1`;
  const at = (name: string, what: string): string => `/v2/team/${name}/${what}`;

  /** All requests of some work, in order of their names, since layers come in any order. */
  async function asked(task: () => Promise<unknown>): Promise<string[]> {
    const before = requestsOf(await registry.accessLog()).length;
    await task();
    return requestsOf(await registry.accessLog())
      .slice(before)
      .sort();
  }

  /** What a pull asks for that is not asked for signatures. */
  function plainPull(name: string): string[] {
    const { manifest, config, layers } = layout.manifests[0];
    return [
      `HEAD ${at(name, 'manifests/1')}`,
      `GET ${at(name, `manifests/${layout.target.digest}`)}`,
      `GET ${at(name, `manifests/${manifest.digest}`)}`,
      ...[config, ...layers].map(({ digest }) => `GET ${at(name, `blobs/${digest}`)}`),
    ].sort();
  }

  it('is the image and nothing else, without a policy', async () => {
    const pulling = (): Promise<unknown> =>
      landfallJson(['pull', '--root', join(work, 'unasked'), image('unsigned')]);
    expect(await asked(pulling)).toEqual(plainPull('unsigned'));
  });

  it('is the image and nothing else, under a policy that accepts it as it is', async () => {
    const anything = await runs.policy('anything', { default: [{ type: 'insecureAcceptAnything' }] });
    const here = policyFor(registry.address, { type: 'insecureAcceptAnything' });
    for (const policy of [anything, await runs.policy('anything here', here)]) {
      expect(await asked(() => runs.pull(policy, image('unsigned')))).toEqual(plainPull('unsigned'));
    }
  });

  it('is nothing at all under a policy that refuses the image, or cannot be understood', async () => {
    const nothing = await runs.policy('nothing', { default: [{ type: 'reject' }] });
    for (const policy of [nothing, await runs.policy('broken', '{'), join(work, 'nowhere.json')]) {
      expect(await asked(() => runs.pull(policy, image('signed')))).toEqual([]);
    }
  });

  it('is no layer and no config of what is refused', async () => {
    let verdict: Verdict | undefined;
    const requests = await asked(async () => (verdict = await runs.pull(strict, image('unsigned'))));
    expect(verdict).toMatchObject({ code: 'SIGNATURE_MISSING', left: [] });
    expect(requests.filter((request) => request.includes('/blobs/'))).toEqual([]);
    expect(requests).toContain(`HEAD ${at('unsigned', `manifests/${signatureTag(layout.target.digest)}`)}`);
  });

  it('is the payload, but no layer and no config, of what another has signed', async () => {
    let verdict: Verdict | undefined;
    const requests = await asked(async () => (verdict = await runs.pull(other, image('signed'))));
    expect(verdict).toMatchObject({ code: 'SIGNATURE_INVALID', left: [] });
    const { config, layers } = layout.manifests[0];
    const taken = [config, ...layers].map(({ digest }) => `GET ${at('signed', `blobs/${digest}`)}`);
    expect(requests.filter((request) => taken.includes(request))).toEqual([]);
    expect(requests.filter((request) => request.includes('/blobs/'))).toHaveLength(1);
  });

  it('is each thing once of what is accepted, but for the index, which is not kept before it is verified', async () => {
    const requests = await asked(() => runs.pull(strict, image('signed')));
    expect(requests).toEqual(expect.arrayContaining(plainPull('signed')));
    const twice = requests.filter((request, n) => requests.indexOf(request) < n);
    expect([`GET ${at('signed', `manifests/${layout.target.digest}`)}`]).toEqual(
      expect.arrayContaining(twice),
    );
  });

  describe('where an image is only looked at', () => {
    it.each([
      ['inspect', []],
      ['inspect', ['--raw']],
      ['tree', []],
      ['ls', []],
      ['cat', ['/etc/hostname']],
      ['diff', ['docker://IMAGE']],
    ])('is no config and no layer by %s %j of what --policy refuses', async (command, rest) => {
      const name = `docker://${image('unsigned')}`;
      const operands = rest.map((operand) => operand.replace('docker://IMAGE', name));
      const args = ['--root', join(work, 'looked-at'), '--policy', strict, name, ...operands];
      let run: Awaited<ReturnType<typeof landfall>> | undefined;
      const requests = await asked(async () => (run = await landfall([command, ...args])));
      expect(run?.code).toBe(6);
      expect(run?.stdout).toBe('');
      expect(run?.stderr).toContain('is not signed');
      expect(requests.filter((request) => request.includes('/blobs/'))).toEqual([]);
    });

    it('is no layer that --policy refuses the image of', async () => {
      const [layer] = layout.manifests[0].layers;
      const name = `docker://${image('unsigned')}@${layer?.digest ?? ''}`;
      let run: Awaited<ReturnType<typeof landfall>> | undefined;
      const requests = await asked(async () => (run = await landfall(['ls', '--policy', strict, name])));
      expect(run).toMatchObject({ code: 6, stdout: '' });
      expect(run?.stderr).toContain('is not signed');
      expect(requests.filter((request) => /^GET .*\/blobs\//.test(request))).toEqual([]);
    });

    it('is what was named, of what --policy lets in, and of anything without one that was named', async () => {
      const root = ['--root', join(work, 'looked-at')];
      for (const args of [
        ['ls', ...root, '--policy', strict, `docker://${image('signed')}`],
        ['ls', ...root, `docker://${image('unsigned')}`],
      ]) {
        expect((await landfall(args)).code).toBe(0);
      }
    });
  });

  describe('once an image was pulled under no policy', () => {
    let root: string;
    let digest: string;
    const pull = (policy: string | undefined, name: string): Promise<unknown> =>
      landfallJson(['pull', '--root', root, ...(policy === undefined ? [] : ['--policy', policy]), name]);
    beforeAll(async () => {
      root = join(work, 'looser');
      digest = `${registry.address}/team/signed@${layout.target.digest}`;
      await pull(undefined, image('signed'));
    });

    it('is its signatures alone, under one that asks for them', async () => {
      const { target, manifests } = layout;
      const requests = await asked(() => pull(strict, image('signed')));
      const ofImage = plainPull('signed').filter((request) => request.startsWith('GET'));
      expect(requests.filter((request) => ofImage.includes(request))).toEqual([]);
      expect(requests).toContain(`HEAD ${at('signed', `manifests/${signatureTag(target.digest)}`)}`);
      expect(manifests).toHaveLength(2);
    });

    it('is nothing but the tag when it is verified already', async () => {
      const requests = await asked(() => pull(strict, image('signed')));
      expect(requests).toEqual([`HEAD ${at('signed', 'manifests/1')}`]);
    });

    it('is remembered, with what decided', async () => {
      const info = await landfallJson<{ signatures: readonly object[] }>([
        'inspect',
        '--root',
        root,
        image('signed'),
      ]);
      expect(info.signatures).toMatchObject([
        {
          digest: layout.target.digest,
          name: image('signed'),
          identity: `${registry.address}/team/signed`,
          format: 'simple-signing',
          policy: strict,
          scope: `docker:${registry.address}`,
        },
      ]);
    });

    it('is not there to be asked, and need not be', async () => {
      await pull(undefined, digest);
      await registry.stop();
      expect(await pull(strict, digest)).toMatchObject([
        { digest: layout.target.digest, bytesDownloaded: 0 },
      ]);
      const again = await runs.policy(
        'same key',
        policyFor(
          `${registry.address}/team`,
          signature({ keyDatas: [(await readFile(ours.public)).toString('base64')] }),
        ),
      );
      expect(await pull(again, digest)).toMatchObject([{ digest: layout.target.digest, bytesDownloaded: 0 }]);
      const refused = await landfall(['pull', '--root', root, '--policy', other, digest]);
      expect(refused.code).toBe(5);
    });
  });
});
