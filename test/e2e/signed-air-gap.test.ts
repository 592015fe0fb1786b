import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { RegistryClient } from '../../src/registry/index.js';
import { formatPlatform, hostPlatform } from '../../src/spec/index.js';
import { type CosignKey, cosignKey, cosignSign } from '../support/cosign.js';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.js';
import { type CommandResult, peerOutput } from '../support/landfall-command.js';
import { addSbom } from '../support/memory-signed-images.js';
import { MemoryTransport } from '../support/memory-transport.js';
import { needsPeer } from '../support/peers.js';
import { putArtifact, putImage } from '../support/put-artifact.js';
import { digestAt, requestsOf, tagsOf } from '../support/registry-facts.js';
import { bundleReferrer, statementBundle } from '../support/signature-bundle.js';
import { type SigningKey, signingKey } from '../support/signing-keys.js';
import { signatureTag } from '../support/simple-signing.js';
import { makeTinyLayout, type TinyLayout } from '../support/tiny-image.js';
import { landfall, landfallJson } from '../support/warm-command.js';

interface SyncReport {
  readonly totals: Readonly<Record<string, number>>;
  readonly images: readonly {
    readonly name: string;
    readonly outcome: string;
    readonly error?: { readonly code: string };
    readonly signatures?: readonly object[];
  }[];
}

interface VerifyReport {
  readonly whole: boolean;
  readonly refused: number;
  readonly images: readonly {
    readonly name: string;
    readonly verdict: string;
    readonly signatures?: readonly { readonly signedBy: string }[];
    readonly error?: { readonly code: string };
  }[];
}

interface IndexFile {
  manifests: { digest: string; size: number; mediaType: string; annotations?: Record<string, string> }[];
}

const NAME = 'io.containerd.image.name';

describe.skipIf(needsPeer('docker-registry', 'cosign') !== undefined)(
  'signed images across a gap, under a policy on both sides',
  () => {
    let work: string;
    let near: DockerRegistry;
    let far: DockerRegistry;
    let client: RegistryClient;
    let cosign: CosignKey;
    let bundleKey: SigningKey;
    const layouts = new Map<string, TinyLayout>();
    let policy: string;
    let archive: string;
    let loose: string;
    beforeAll(async () => {
      work = await mkdtemp(join(tmpdir(), 'landfall-signed-air-gap-'));
      archive = join(work, 'images.tar');
      loose = join(work, 'loose.tar');
      [near, far] = await Promise.all([startDockerRegistry(), startDockerRegistry()]);
      client = new RegistryClient();
      cosign = await cosignKey(work, 'cosign');
      bundleKey = signingKey();
      await writeFile(join(work, 'bundle.pem'), bundleKey.pem);
      for (const name of ['app', 'db', 'evil']) layouts.set(name, await published(name));
      await cosignSign(`${near.address}/team/app@${layout('app').target.digest}`, { key: cosign });
      await bundled('db');
      policy = await policyAt('policy.json');
    });
    afterAll(async () => {
      await client.close();
      await Promise.all([near.stop(), far.stop()]);
      await rm(work, { recursive: true, force: true });
    });

    function layout(name: string): TinyLayout {
      const made = layouts.get(name);
      if (made === undefined) throw new Error(`there is no ${name}`);
      return made;
    }

    /** An image for two platforms, with an SBOM that refers to it, at the near registry. */
    async function published(name: string): Promise<TinyLayout> {
      const platforms = [formatPlatform(hostPlatform()), 'linux/s390x'];
      const layers = [[{ path: 'name', content: name }]];
      const made = await makeTinyLayout(join(work, name), { platforms, layers });
      const remote = client.repository({ registry: near.address, repository: `team/${name}` });
      await putImage(remote, made, '1');
      const memory = new MemoryTransport('memory.lan').repository('memory.lan/sbom');
      const manifest = addSbom(memory, { subject: made.target });
      const blobs = new Map<typeof manifest.digest, Buffer>();
      for (const digest of memory.everything.contents as (typeof manifest.digest)[]) {
        const stream = await memory.fetch({ mediaType: '', digest, size: 0 });
        blobs.set(digest, Buffer.concat((await stream.toArray()) as Buffer[]));
      }
      await putArtifact(remote, { manifest, blobs });
      return made;
    }

    async function bundled(name: string): Promise<void> {
      const { target } = layout(name);
      const bundle = await statementBundle(target.digest, { key: bundleKey });
      const remote = client.repository({ registry: near.address, repository: `team/${name}` });
      await putArtifact(remote, bundleReferrer(target, [bundle]));
    }

    /**
     * What both sides have: images of the near registry have to be signed, by whatever way they come; the
     * mirror at the far side has them under names of its own, that the signatures do not say.
     */
    async function policyAt(name: string): Promise<string> {
      const by = (keyPath: string, signedIdentity: object): object[] => [
        { type: 'sigstoreSigned', keyPath, signedIdentity },
      ];
      const byCosign = (identity: object): object[] => by(cosign.public, identity);
      const byBundle = by(join(work, 'bundle.pem'), { type: 'matchDigest' });
      const elsewhere = { type: 'exactRepository', dockerRepository: `${near.address}/team/app` };
      const either = [
        {
          type: 'sigstoreSigned',
          keyPaths: [cosign.public, join(work, 'bundle.pem')],
          signedIdentity: { type: 'matchDigest' },
        },
      ];
      const file = join(work, name);
      const transports = {
        docker: {
          [near.address]: byCosign({ type: 'matchRepository' }),
          [`${near.address}/team/db`]: byBundle,
          [`${far.address}/team/app`]: byCosign(elsewhere),
          [`${far.address}/team/db`]: byBundle,
        },
        'oci-archive': { [work]: either },
        oci: { [work]: either },
      };
      await writeFile(file, JSON.stringify({ default: [{ type: 'reject' }], transports }, undefined, 2));
      return file;
    }

    const at = (root: string): string[] => ['--root', join(work, root), '--policy', policy];

    async function sync(source: object, to: string, options: readonly string[]): Promise<CommandResult> {
      const file = join(work, 'mirror.json');
      await writeFile(file, JSON.stringify({ sources: [source] }));
      return await landfall(['sync', '-f', file, '--to', to, '--output', 'json', ...options]);
    }

    async function requestsDuring(registry: DockerRegistry, task: () => Promise<unknown>): Promise<string[]> {
      const before = requestsOf(await registry.accessLog()).length;
      await task();
      return requestsOf(await registry.accessLog()).slice(before);
    }

    const NEAR = { repositories: ['team/*'] };

    it('only what is signed goes into the archive; of the rest no blob is asked for', async () => {
      let result: CommandResult | undefined;
      const asked = await requestsDuring(near, async () => {
        result = await sync({ registry: near.address, ...NEAR }, `oci-archive:${archive}`, at('near'));
      });
      expect(result).toMatchObject({ code: 6, stderr: expect.stringContaining('team/evil:1') as string });
      const { images } = JSON.parse(result?.stdout ?? '') as SyncReport;
      const outcomes = images.map(({ name, outcome, error }) => [
        name.split('/').at(-1),
        outcome,
        error?.code,
      ]);
      expect(outcomes).toEqual([
        ['app:1', 'copied', undefined],
        ['db:1', 'copied', undefined],
        ['evil:1', 'failed', 'SIGNATURE_MISSING'],
      ]);
      expect(images[0]?.signatures).toMatchObject([{ digest: layout('app').target.digest, policy }]);
      expect(asked.filter((request) => request.includes('/team/evil/blobs/'))).toEqual([]);
      expect(asked.filter((request) => request.includes('/team/app/blobs/'))).not.toEqual([]);
    });

    it('the archive is proven whole and signed, and nobody is asked for that', async () => {
      const asked = await requestsDuring(near, async () => {
        const report = await landfallJson<VerifyReport>(['verify', archive, ...at('far')]);
        expect(report).toMatchObject({ whole: true, refused: 0 });
        expect(verdictsOf(report)).toMatchObject({ 'app:1': 'signed', 'db:1': 'signed' });
      });
      expect(asked).toEqual([]);
    });

    it('it is loaded, and the store proven', async () => {
      const asked = await requestsDuring(near, async () => {
        const loaded = await landfallJson<{ images: { name: string; signatures?: object[] }[] }>([
          ...['load', '-i', archive, ...at('far')],
        ]);
        const signed = loaded.images.filter(({ signatures }) => signatures !== undefined);
        expect(signed.map(({ name }) => name.split('/').at(-1)).sort()).toEqual(['app:1', 'db:1']);
        const report = await landfallJson<VerifyReport>(['verify', ...at('far')]);
        expect(report).toMatchObject({ whole: true, refused: 0 });
        expect(verdictsOf(report)).toMatchObject({ 'app:1': 'signed', 'db:1': 'signed' });
      });
      expect(asked).toEqual([]);
    });

    it('a mirror is made of the store, and proven by the names that it has there', async () => {
      const source = { from: 'store', repositories: [`${near.address}/team/*`] };
      const result = await sync(source, `docker://${far.address}`, at('far'));
      expect(result).toMatchObject({ code: 0 });
      expect(await tagsOf(far.address, 'team/app')).toContain(signatureTag(layout('app').target.digest));
      const report = await landfallJson<VerifyReport>(['verify', `docker://${far.address}/`, ...at('none')]);
      expect(report).toMatchObject({ whole: true, refused: 0 });
      expect(verdictsOf(report)).toMatchObject({ 'app:1': 'signed', 'db:1': 'signed' });
    });

    it('a node pulls from it, by its own name and in place of the registry that is not there', async () => {
      const hosts = join(work, 'certs.d');
      await mkdir(join(hosts, near.address.replace(':', '_').concat('_')), { recursive: true });
      const file = join(hosts, `${near.address.replace(':', '_')}_`, 'hosts.toml');
      await writeFile(file, `server = "http://${far.address}"\n`);
      const asked = await requestsDuring(near, async () => {
        for (const name of ['app', 'db']) {
          const mirrored = ['--hosts-dir', hosts, `${near.address}/team/${name}:1`];
          for (const [root, image] of [
            ['node-by-mirror', mirrored],
            ['node-by-name', [`${far.address}/team/${name}:1`]],
          ] as const) {
            const pulled = await landfall(['pull', ...image, ...at(root)]);
            expect(pulled).toMatchObject({ code: 0 });
          }
        }
      });
      expect(asked).toEqual([]);
    });

    it('a second run of the sync moves nothing, and asks the far registry alone for signatures', async () => {
      const source = { from: 'store', repositories: [`${near.address}/team/*`] };
      const asked = await requestsDuring(far, async () => {
        const { totals } = JSON.parse(
          (await sync(source, `docker://${far.address}`, at('far'))).stdout,
        ) as SyncReport;
        expect(totals).toMatchObject({ copied: 0, failed: 0 });
      });
      expect(asked.filter((request) => /^(PUT|POST|PATCH) /.test(request))).toEqual([]);
    });

    it('what is kept beside a pulled image goes into an archive with it', async () => {
      const file = join(work, 'saved.tar');
      for (const name of ['app', 'db']) {
        const image = `${near.address}/team/${name}:1`;
        expect(await landfall(['pull', '--all-platforms', image, ...at('kept')])).toMatchObject({ code: 0 });
      }
      const images = ['app', 'db'].map((name) => `${near.address}/team/${name}:1`);
      await landfallJson(['save', ...images, '-o', file, '--root', join(work, 'kept')]);
      await landfallJson(['load', '-i', file, ...at('loaded')]);
      const report = await landfallJson<VerifyReport>(['verify', ...at('loaded')]);
      expect(verdictsOf(report)).toMatchObject({ 'app:1': 'signed', 'db:1': 'signed' });
    });

    describe('somebody brings an archive that nobody has verified', () => {
      it('each image that is not signed is told of by itself, and the others are loaded', async () => {
        const file = join(work, 'mirror.json');
        await writeFile(file, JSON.stringify({ sources: [{ registry: near.address, ...NEAR }] }));
        await landfallJson([
          'sync',
          '-f',
          file,
          '--to',
          `oci-archive:${loose}`,
          '--root',
          join(work, 'near'),
        ]);
        const proof = await landfall(['verify', loose, ...at('far'), '--output', 'json']);
        expect(proof.code).toBe(6);
        const report = JSON.parse(proof.stdout) as VerifyReport;
        expect(report).toMatchObject({ whole: true, refused: 1 });
        expect(verdictsOf(report)).toMatchObject({ 'app:1': 'signed', 'evil:1': 'refused' });
        const loaded = await landfall(['load', '-i', loose, ...at('other')]);
        expect(loaded).toMatchObject({
          code: 6,
          stderr: expect.stringMatching(
            /team\/evil:1 is not signed: oci-archive:.*policy\.json:\d+ asks/,
          ) as string,
        });
        const names = (await landfallJson<{ name: string }[]>(['images', '--root', join(work, 'other')])).map(
          ({ name }) => name.split('/').at(-1),
        );
        expect(names).toEqual(expect.arrayContaining(['app:1', 'db:1']));
        expect(names).not.toContain('evil:1');
      });

      /**
       * The archive as a directory, its index changed, and as an archive again, without what landfall writes
       * beside it.
       */
      async function forged(name: string, change: (index: IndexFile) => void): Promise<string> {
        const directory = join(work, name);
        await mkdir(directory);
        await peerOutput('tar', ['-xf', loose, '-C', directory]);
        for (const beside of ['landfall.json', 'manifest.json']) {
          await rm(join(directory, beside), { force: true });
        }
        const file = join(directory, 'index.json');
        const index = JSON.parse(await readFile(file, 'utf8')) as IndexFile;
        change(index);
        await writeFile(file, JSON.stringify(index));
        return directory;
      }

      function entry({ manifests }: IndexFile, name: string): IndexFile['manifests'][number] {
        const found = manifests.find(
          ({ annotations }) => annotations?.[NAME] === `${near.address}/team/${name}`,
        );
        if (found === undefined) throw new Error(`there is no ${name}`);
        return found;
      }

      const FORGERIES: readonly [string, RegExp, (index: IndexFile) => void][] = [
        [
          'the name of a signed image on another one',
          /is not signed/,
          (index) => {
            const { digest, size } = entry(index, 'evil:1');
            Object.assign(entry(index, 'app:1'), { digest, size });
          },
        ],
        [
          'the signature of one image under the tag of another',
          /team\/app:1 (?:is not signed|has no signature that will do)/,
          (index) => {
            const tag = (name: string): string => `app:${signatureTag(layout(name).target.digest)}`;
            const { annotations, ...signature } = entry(index, tag('app'));
            entry(index, tag('app')).annotations = { ...annotations, [NAME]: 'gone/gone:1' };
            const { digest, size } = entry(index, 'evil:1');
            const other = `${near.address}/team/${tag('evil')}`;
            index.manifests.push({ ...signature, annotations: { [NAME]: other } });
            Object.assign(entry(index, 'app:1'), { digest, size });
          },
        ],
      ];
      it.each(FORGERIES)('%s is refused, from a directory and from an archive', async (what, why, change) => {
        const directory = await forged(what.replaceAll(' ', '-'), change);
        const image = `${near.address}/team/app:1`;
        let copied: CommandResult | undefined;
        const asked = await requestsDuring(far, async () => {
          const to = `docker://${far.address}/forged/app:1`;
          copied = await landfall(['copy', '--all', `oci:${directory}:${image}`, to, ...at('far')]);
        });
        expect(copied).toMatchObject({ code: 6, stderr: expect.stringMatching(why) as string });
        expect(asked.filter((request) => /^(PUT|POST|PATCH) /.test(request))).toEqual([]);
        expect(await digestAt(far.address, 'forged/app', '1')).toBeUndefined();
        const packed = `${directory}.tar`;
        await peerOutput('tar', ['-cf', packed, '-C', directory, 'oci-layout', 'index.json', 'blobs']);
        const root = `${what.replaceAll(' ', '-')}-root`;
        const loaded = await landfall(['load', '-i', packed, ...at(root)]);
        expect(loaded).toMatchObject({ code: 6, stderr: expect.stringMatching(why) as string });
        const listed = await landfallJson<{ name: string }[]>(['images', '--root', join(work, root)]);
        expect(listed.map(({ name }) => name)).not.toContain(image);
      });

      it('what was altered in the archive itself is found before any policy is asked', async () => {
        const directory = await forged('altered', () => undefined);
        await cp(join(work, 'app', 'index.json'), join(directory, 'index.json'));
        const proof = await landfall(['verify', `oci:${directory}`, ...at('far'), '--output', 'json']);
        const { images } = JSON.parse(proof.stdout) as VerifyReport;
        expect(images.map(({ verdict }) => verdict)).toEqual(['refused']);
        expect(proof.code).toBe(6);
      });
    });

    /** By the names without their registry and path; signatures' left out. */
    function verdictsOf({ images }: VerifyReport): Record<string, string> {
      return Object.fromEntries(images.map(({ name, verdict }) => [name.split('/').at(-1) ?? '', verdict]));
    }
  },
);
