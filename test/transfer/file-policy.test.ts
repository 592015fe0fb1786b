import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { OciLayout } from '../../src/content/index.js';
import { type Descriptor, digestOf, encodedOf } from '../../src/spec/index.js';
import { ArchiveDestination } from '../../src/transfer/transports/archives/archive-destination.js';
import { openArchive } from '../../src/transfer/transports/archives/open-archive.js';
import { copy } from '../../src/transfer/copy/copy.js';
import { CopySession } from '../../src/transfer/copy/copy-session.js';
import { judgeImages, type PolicyVerdict } from '../../src/transfer/verify/judge-images.js';
import { LayoutDestination } from '../../src/transfer/transports/layout-destination.js';
import { LayoutTransport } from '../../src/transfer/transports/layout-transport.js';
import { layoutRoots } from '../../src/transfer/verify/layout-roots.js';
import { ArchiveLoader, type LoadedFromArchive } from '../../src/transfer/copy/load-archive.js';
import type { PolicyFile } from '../../src/trust/index.js';
import { dockerArchive } from '../support/docker-archive.js';
import { addImage, addIndex, AMD64, ARM64 } from '../support/memory-images.js';
import { MemoryTransport, type MemoryRepository } from '../support/memory-transport.js';
import { ACCEPT, addSbom, PolicyFiles, REJECT, sign, signByBundle } from '../support/memory-signed-images.js';
import { archive, file as tarFile } from '../support/tar-builder.js';

const NAME = 'there.example/app';

interface IndexFile {
  manifests: { digest: string; size: number; annotations?: Record<string, string> }[];
}

describe('files under a signature policy', () => {
  let files: PolicyFiles;
  let policy: PolicyFile;
  let work: string;
  let count = 0;
  let source: MemoryRepository;
  let signed: Descriptor;
  let unsigned: Descriptor;
  beforeAll(async () => {
    files = await PolicyFiles.create();
    policy = await files.signedOnly();
    work = await mkdtemp(join(tmpdir(), 'landfall-file-policy-'));
  });
  afterAll(async () => {
    await files[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });
  beforeEach(async () => {
    source = new MemoryTransport('there.example').repository(NAME);
    const parts = [AMD64, ARM64].map(
      (platform) => [addImage(source, { platform, layers: [platform.architecture] }), platform] as const,
    );
    signed = addIndex(source, parts, '1');
    unsigned = addImage(source, { tag: '2', layers: ['unsigned'] });
    await sign(source, signed, { key: files.key });
    addSbom(source, { subject: signed });
  });

  const request = (tag: string) => ({ from: tag, tag, platforms: 'all', referrers: {} }) as const;

  async function archived(tags: readonly string[]): Promise<string> {
    const file = join(work, `${(count += 1)}.tar`);
    await using opened = await ArchiveDestination.open({ file });
    for (const tag of tags) await copy(source, opened.repository(NAME), request(tag), new CopySession());
    await opened.finish();
    return file;
  }

  async function laidOut(tags: readonly string[]): Promise<string> {
    const directory = join(work, `layout-${(count += 1)}`);
    await mkdir(directory);
    const layout = await LayoutDestination.open(directory);
    for (const tag of tags) await copy(source, layout.repository(NAME), request(tag), new CopySession());
    return directory;
  }

  async function edit(directory: string, change: (index: IndexFile) => void): Promise<void> {
    const file = join(directory, 'index.json');
    const index = JSON.parse(await readFile(file, 'utf8')) as IndexFile;
    change(index);
    await writeFile(file, JSON.stringify(index));
  }

  async function placeOf(directory: string): Promise<LayoutTransport> {
    const content = await OciLayout.open(directory);
    const file = { transport: 'oci', path: directory } as const;
    return new LayoutTransport({ content, location: `oci:${directory}`, path: directory, file });
  }

  /** What became of each image of an archive: how it was loaded, or the error. */
  async function load(
    path: string,
    { name, held = policy }: { readonly name?: string; readonly held?: PolicyFile } = {},
  ): Promise<{
    transport: MemoryTransport;
    outcomes: Record<string, LoadedFromArchive | { code: string; message: string }>;
  }> {
    await using opened = await openArchive({ file: path });
    const transport = new MemoryTransport('there.example', { sparse: true });
    const session = new CopySession({ policy: held });
    const loader = new ArchiveLoader({ archive: opened, path, destination: transport, session, name });
    const outcomes: Record<string, LoadedFromArchive | { code: string; message: string }> = {};
    for (const image of (await loader.plan()).images) {
      const tag = image.reference.tag ?? '';
      outcomes[tag] = await loader
        .load(image)
        .catch((error: unknown) => error as { code: string; message: string });
    }
    return { transport, outcomes };
  }

  describe('an archive', () => {
    it('gives what is signed, and refuses the rest of it by itself', async () => {
      const { transport, outcomes } = await load(await archived(['1', '2']));
      const tag = `sha256-${encodedOf(signed.digest)}.sig`;
      expect(outcomes).toMatchObject({
        '1': { report: { outcome: 'copied', signatures: [{ digest: signed.digest }] } },
        '2': { code: 'SIGNATURE_MISSING' },
        [tag]: { report: { outcome: expect.stringMatching(/copied|exists/) as string } },
      });
      const { contents, tags } = transport.repository(NAME).everything;
      expect(Object.keys(tags).sort()).toEqual(['1', tag]);
      expect(contents).not.toContain(unsigned.digest);
    });

    it('is governed by where it lies', async () => {
      const file = await archived(['2']);
      const scoped = await files.write([REJECT], { 'oci-archive': { [work]: [ACCEPT] } });
      expect((await load(file, { held: scoped })).outcomes).toMatchObject({ '2': { report: {} } });
      const elsewhere = await files.write([ACCEPT], { 'oci-archive': { [work]: [REJECT] } });
      expect((await load(file, { held: elsewhere })).outcomes).toMatchObject({
        '2': { code: 'POLICY_REJECTED' },
      });
    });

    it('gives an image that it does not name under a name that the signature is for, and under no other', async () => {
      const file = join(work, `${(count += 1)}.tar`);
      await using opened = await ArchiveDestination.open({ file });
      const nameless = { from: '1', platforms: 'all', referrers: {} } as const;
      await copy(source, opened.repository(''), nameless, new CopySession());
      await opened.finish();
      const right = await load(file, { name: `${NAME}:mine` });
      expect(right.outcomes).toMatchObject({ mine: { report: { target: { digest: signed.digest } } } });
      const wrong = await load(file, { name: 'there.example/other:mine' });
      expect(wrong.outcomes).toMatchObject({ mine: { code: 'SIGNATURE_INVALID' } });
    });

    it('of Docker has no manifests that anybody could have signed', async () => {
      const file = join(work, `${(count += 1)}.tar`);
      const layer = archive(tarFile('hello', Buffer.from('hello')));
      const layers = [{ path: 'layer.tar', bytes: layer, diffId: digestOf(layer) }];
      await writeFile(file, dockerArchive([{ layers, tags: [`${NAME}:2`] }]));
      expect((await load(file)).outcomes).toMatchObject({
        '2': {
          code: 'SIGNATURE_MISSING',
          message: expect.stringContaining('an archive of Docker has no manifests') as string,
        },
      });
      const loose = await files.write([REJECT], { 'docker-archive': { '': [ACCEPT] } });
      expect((await load(file, { held: loose })).outcomes).toMatchObject({ '2': { report: {} } });
    });
  });

  describe('a layout', () => {
    async function taken(directory: string, name: string): Promise<unknown> {
      const transport = await placeOf(directory);
      const to = new MemoryTransport('far.example').repository('far.example/app');
      const session = new CopySession({ policy });
      try {
        const from = transport.repository('');
        return await copy(from, to, { from: name, tag: '1', platforms: 'all', referrers: {} }, session);
      } finally {
        await transport[Symbol.asyncDispose]();
      }
    }

    it('gives what is signed, and the signature with it', async () => {
      const report = await taken(await laidOut(['1', '2']), `${NAME}:1`);
      expect(report).toMatchObject({ target: { digest: signed.digest }, referrers: [{}, {}] });
    });

    it('has a signature for each repository of the same image, of which its own counts', async () => {
      const other = source.transport.repository('there.example/other');
      const parts = [AMD64, ARM64].map(
        (platform) => [addImage(other, { platform, layers: [platform.architecture] }), platform] as const,
      );
      expect(addIndex(other, parts, '1')).toEqual(signed);
      await sign(other, signed, { key: files.key });
      const directory = await laidOut(['1']);
      const layout = await LayoutDestination.open(directory);
      await copy(other, layout.repository(other.name), request('1'), new CopySession());
      for (const name of [NAME, other.name]) {
        expect(await taken(directory, `${name}:1`)).toMatchObject({ target: { digest: signed.digest } });
      }
      const [transport, far] = [await placeOf(directory), new MemoryTransport('far.example')];
      await copy(
        transport.repository(other.name),
        far.repository('far.example/other'),
        request('1'),
        new CopySession({ policy }),
      );
      expect(far.repository('far.example/other').everything.tags).toHaveProperty(['1'], signed.digest);
    });

    const EDITED: readonly [string, string, (index: IndexFile) => void][] = [
      [
        'the name of what is signed leads to something else',
        'SIGNATURE_MISSING',
        (index) => {
          const [one, two] = ['1', '2'].map((tag) => entry(index, `${NAME}:${tag}`));
          if (one === undefined || two === undefined) throw new Error('they are not there');
          const { annotations, ...other } = two;
          Object.assign(one, other);
          expect(annotations).not.toEqual(one.annotations);
        },
      ],
      [
        'the tag of its signatures leads to something else',
        'SIGNATURE_MISSING',
        (index) => {
          const signature = index.manifests.find((one) => nameOf(one).endsWith('.sig'));
          const other = entry(index, `${NAME}:2`);
          if (signature === undefined || other === undefined) throw new Error('they are not there');
          Object.assign(signature, { digest: other.digest, size: other.size });
        },
      ],
      [
        'its size is another one',
        'SIZE_MISMATCH',
        (index) => {
          const one = entry(index, `${NAME}:1`);
          if (one !== undefined) one.size += 1;
        },
      ],
    ];
    it.each(EDITED)('whose index.json was edited is refused: %s', async (_what, code, change) => {
      const directory = await laidOut(['1', '2']);
      await edit(directory, change);
      await expect(taken(directory, `${NAME}:1`)).rejects.toMatchObject({ code });
    });

    it('gives what is signed under no name that it is not signed for', async () => {
      const directory = await laidOut(['1']);
      await edit(directory, (index) => {
        for (const one of index.manifests) {
          if (nameOf(one) === `${NAME}:1`) one.annotations = names('there.example/other:1');
        }
      });
      await expect(taken(directory, 'there.example/other:1')).rejects.toMatchObject({
        code: 'SIGNATURE_INVALID',
      });
    });
  });

  describe('what is judged where it lies', () => {
    async function judged(directory: string, held = policy): Promise<Record<string, PolicyVerdict>> {
      const transport = await placeOf(directory);
      const roots = await layoutRoots(transport);
      const verdicts = await judgeImages(roots, held);
      await transport[Symbol.asyncDispose]();
      return Object.fromEntries(
        verdicts.map((verdict, at) => [(roots[at]?.name ?? '').replace(`${NAME}:`, ''), verdict]),
      );
    }

    it('is signed, or refused, or accompanies an image', async () => {
      const bundled = addImage(source, { tag: '3', layers: ['bundled'] });
      await signByBundle(source, bundled, files.key);
      const held = await files.signedOnly({ type: 'matchDigest' });
      const verdicts = await judged(await laidOut(['1', '2', '3']), held);
      const accompanying = Object.values(verdicts).filter(({ outcome }) => outcome === 'accompanies');
      // The signature by its tag; the bundle and the SBOM, which refer to images.
      expect(accompanying).toHaveLength(3);
      expect(verdicts).toMatchObject({
        '1': { outcome: 'signed', signatures: [{ digest: signed.digest, format: 'simple-signing' }] },
        '2': { outcome: 'refused', error: { code: 'SIGNATURE_MISSING' } },
        '3': { outcome: 'signed', signatures: [{ digest: bundled.digest, format: 'bundle' }] },
      });
    });

    it('is accepted where nothing is asked for', async () => {
      const verdicts = await judged(await laidOut(['1', '2']), await files.write([ACCEPT]));
      expect(new Set(Object.values(verdicts).map(({ outcome }) => outcome))).toEqual(new Set(['accepted']));
    });

    it('is a part of an index that is listed beside it, but only of one that is judged', async () => {
      const directory = await laidOut(['1']);
      const [part, stranger] = [addImage(source, { layers: ['amd64'] }), unsigned];
      const other = await laidOut(['2']);
      for (const { digest } of [stranger]) {
        const bytes = await readFile(join(other, 'blobs/sha256', encodedOf(digest)));
        await writeFile(join(directory, 'blobs/sha256', encodedOf(digest)), bytes);
      }
      await edit(directory, (index) => index.manifests.push(...[part, stranger]));
      const outcomes = Object.values(await judged(directory)).map(({ outcome }) => outcome);
      expect(outcomes.sort()).toEqual(['accompanies', 'accompanies', 'part', 'refused', 'signed']);
    });
  });

  const names = (name: string): Record<string, string> => ({
    'io.containerd.image.name': name,
    'org.opencontainers.image.ref.name': name,
  });

  function nameOf({ annotations }: IndexFile['manifests'][number]): string {
    return (
      annotations?.['io.containerd.image.name'] ?? annotations?.['org.opencontainers.image.ref.name'] ?? ''
    );
  }

  function entry({ manifests }: IndexFile, name: string): IndexFile['manifests'][number] | undefined {
    return manifests.find((one) => nameOf(one) === name);
  }
});
