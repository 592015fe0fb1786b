import { describe, expect, test } from 'vitest';
import { RegistryError } from '../../../src/errors.js';
import { type Descriptor, digestOf, MEDIA_TYPES } from '../../../src/spec/index.js';
import type { Declaration } from '../../../src/transfer/transports/declaration.js';
import type { RepositoryPrune } from '../../../src/transfer/sync/plan-prunes.js';
import type { SyncResult } from '../../../src/transfer/sync/sync-result.js';
import { addImage, addIndex, AMD64 } from '../../support/memory-images.js';
import type { MemoryRepository } from '../../support/memory-transport.js';
import { Mirrored, mirror } from './mirrored.js';

const yes = (): Promise<boolean> => Promise.resolve(true);

/** A source with two tags, and a mirror that has a third one too. */
async function mirrored(): Promise<{ lan: Mirrored; app: MemoryRepository; hub: MemoryRepository }> {
  const lan = new Mirrored();
  const app = lan.repository('src.lan/app');
  addImage(app, { tag: '1', layers: ['one'] });
  addImage(app, { tag: '2', layers: ['two'] });
  const hub = lan.repository('dst.lan/hub/app');
  await lan.sync(mirror('[app]'));
  addImage(hub, { tag: 'old', layers: ['old'] });
  return { lan, app, hub };
}

function pruned(result: SyncResult): string[] {
  return result.pruned.map(
    ({ destination, outcome }) => `${destination.replace('docker://dst.lan/', '')} ${outcome}`,
  );
}

/** A registry that deletes manifests and no tags, as docker-registry does. */
function deleteByDigestOnly(repository: MemoryRepository): void {
  repository.deleteTag = async (tag: string, options = {}): Promise<void> => {
    const { kept = new Set() } = options as { kept?: ReadonlySet<string> };
    const stored = await repository.stored(tag);
    if (stored === undefined) throw new RegistryError('UNSUPPORTED', 'no tags are deleted');
    if (kept.has(stored.digest)) throw new RegistryError('IN_USE', 'another tag names it');
    await repository.deleteManifest(stored.digest);
  };
}

function tagFor({ digest }: Descriptor, suffix = ''): string {
  return `${digest.replace(':', '-')}${suffix}`;
}

describe('pruning', () => {
  test('deletes what the file asks for no more, once it was shown and said yes to', async () => {
    const { lan } = await mirrored();
    const shown: RepositoryPrune[] = [];
    const result = await lan.sync(mirror('[app]'), {
      prune: (prunes) => {
        shown.push(...prunes);
        return yes();
      },
    });
    expect(shown.flatMap(({ tags }) => tags.map(({ tag }) => tag))).toEqual(['old']);
    expect(pruned(result)).toEqual(['hub/app:old deleted']);
    expect(lan.tags('dst.lan/hub/app')).toEqual(['1', '2']);
  });

  test('deletes nothing unasked, nor when the answer is no, nor in a run that only looks', async () => {
    const { lan } = await mirrored();
    await lan.sync(mirror('[app]'));
    await lan.sync(mirror('[app]'), { prune: () => Promise.resolve(false) });
    const result = await lan.sync(mirror('[app]'), {
      dryRun: true,
      prune: () => Promise.reject(new Error('nobody is to be asked')),
    });
    expect(pruned(result)).toEqual(['hub/app:old planned']);
    expect(lan.tags('dst.lan/hub/app')).toEqual(['1', '2', 'old']);
  });

  test('deletes nothing in repositories that the file does not name', async () => {
    const { lan } = await mirrored();
    addImage(lan.repository('dst.lan/hub/other'), { tag: 'mine' });
    addImage(lan.repository('dst.lan/app'), { tag: 'mine' });
    await lan.sync(mirror('["**"]'), { prune: yes });
    expect(lan.tags('dst.lan/hub/other')).toEqual(['mine']);
    expect(lan.tags('dst.lan/app')).toEqual(['mine']);
  });

  const nevers: [name: string, break_: (lan: Mirrored) => void, repositories: string][] = [
    [
      'the source could not be listed',
      (lan) => {
        lan.transport('src.lan').onCall = (call) => {
          if (call === 'tags src.lan/app') throw new RegistryError('UNAVAILABLE', 'away');
        };
      },
      '[{ name: app, tags: { list: ["1"], semver: "1.x" } }]',
    ],
    [
      'another repository of the source could not be listed',
      (lan) => {
        lan.transport('src.lan').onCall = (call) => {
          if (call === 'tags src.lan/db') throw new RegistryError('UNAVAILABLE', 'away');
        };
      },
      '[app, db]',
    ],
    [
      'the source did not tell its repositories',
      (lan) => {
        lan.transport('src.lan').repositories = () => Promise.reject(new RegistryError('DENIED', 'no'));
      },
      '[app, "x/*"]',
    ],
    [
      'one of its images could not be copied',
      (lan) => {
        const broken = addImage(lan.repository('src.lan/app'), { tag: '3', layers: ['three'] });
        lan.repository('src.lan/app').damage(broken.digest);
        lan.transport('src.lan').onCall = (call) => {
          if (call === 'resolve 3') throw new RegistryError('UNAVAILABLE', 'away');
        };
      },
      '[{ name: app, tags: ["1", "3"] }]',
    ],
    ['nothing of it is wanted', () => undefined, '[{ name: app, tags: { semver: ">9" } }]'],
  ];
  test.each(nevers)('deletes nothing where %s', async (_name, break_, repositories) => {
    const { lan } = await mirrored();
    addImage(lan.repository('src.lan/db'), { tag: '1' });
    break_(lan);
    const result = await lan.sync(mirror(repositories), { prune: yes });
    expect(pruned(result)).toEqual([]);
    expect(lan.tags('dst.lan/hub/app')).toEqual(['1', '2', 'old']);
  });

  const strangers: [name: string, second: string, break_: (lan: Mirrored) => void][] = [
    [
      'has a repository that could not be listed',
      'repositories: [{ name: app, tags: { semver: "2.x" } }]',
      (lan) => {
        lan.transport('other.lan').onCall = (call) => {
          if (call === 'tags other.lan/app') throw new RegistryError('UNAVAILABLE', 'away');
        };
      },
    ],
    [
      'has a repository that could not be listed, and goes there by its own word',
      'repositories: [{ name: deep/down, to: app, tags: { semver: "2.x" } }]',
      (lan) => {
        lan.transport('other.lan').onCall = (call) => {
          if (call === 'tags other.lan/deep/down') throw new RegistryError('UNAVAILABLE', 'away');
        };
      },
    ],
    [
      'did not tell its repositories',
      'repositories: ["*"]',
      (lan) => {
        lan.transport('other.lan').repositories = () => Promise.reject(new RegistryError('DENIED', 'no'));
      },
    ],
    [
      'could not be opened',
      'repositories: [app]',
      (lan) => {
        lan.unopened.add('other.lan');
      },
    ],
  ];
  test.each(strangers)(
    'deletes nothing where another source that goes there %s',
    async (_, second, break_) => {
      const { lan } = await mirrored();
      addImage(lan.repository('other.lan/app'), { tag: '2' });
      addImage(lan.repository('other.lan/deep/down'), { tag: '2' });
      break_(lan);
      const text = mirror('[{ name: app, tags: ["1"] }]', `  - registry: other.lan\n    ${second}\n`);
      const result = await lan.sync(text, { prune: yes });
      expect(pruned(result)).toEqual([]);
      expect(lan.tags('dst.lan/hub/app')).toEqual(['1', '2', 'old']);
      expect(result.unpruned.map(({ destination }) => destination)).toEqual(['docker://dst.lan/hub/app']);
    },
  );

  test('deletes where a source that could not be listed goes elsewhere', async () => {
    const { lan } = await mirrored();
    lan.unopened.add('other.lan');
    const more = '  - registry: other.lan\n    repositories: [{ name: app, to: else/where }, deep]\n';
    const result = await lan.sync(mirror('[app]', more), { prune: yes });
    expect(pruned(result)).toEqual(['hub/app:old deleted']);
  });

  test('deletes nothing where images are read from too', async () => {
    const { lan } = await mirrored();
    const text = mirror('[{ name: app, tags: ["1"] }]').replace('docker://dst.lan/hub', 'docker://src.lan');
    const result = await lan.sync(text, { prune: yes });
    expect(lan.tags('src.lan/app')).toEqual(['1', '2']);
    expect(result.unpruned).toEqual([
      { destination: 'docker://src.lan/app', reason: 'images are read from there too' },
    ]);
  });

  test('says where it deleted nothing, and why', async () => {
    const { lan } = await mirrored();
    const result = await lan.sync(mirror('[{ name: app, tags: ["1", "9"] }]'), { prune: yes });
    expect(result.unpruned).toEqual([
      { destination: 'docker://dst.lan/hub/app', reason: 'docker://src.lan/app:9 could not be copied' },
    ]);
  });

  test('keeps what refers to what is kept, and deletes what refers to what goes', async () => {
    const { lan, hub } = await mirrored();
    const kept = await hub.stored('1');
    const old = await hub.stored('old');
    if (kept === undefined || old === undefined) throw new Error('they are there');
    const signature = addImage(hub, { tag: tagFor(old, '.sig'), layers: ['signature of old'] });
    addImage(hub, { tag: tagFor(signature, '.att'), layers: ['attestation of the signature'] });
    addImage(hub, { tag: tagFor(kept, '.sig'), layers: ['signature of 1'] });
    const sbom = addImage(hub, { layers: ['sbom'] });
    addIndex(hub, [[sbom]], tagFor(old));
    addImage(hub, { tag: tagFor(sbom, '.sig'), layers: ['signature of the SBOM'] });
    addIndex(hub, [[sbom]], tagFor(kept));
    const unknown = `sha256-${'0'.repeat(64)}.sig`;
    addImage(hub, { tag: unknown, layers: ['of what is not here'] });
    const result = await lan.sync(mirror('[app]'), { prune: yes });
    expect(lan.tags('dst.lan/hub/app').sort()).toEqual(
      ['1', '2', tagFor(kept), tagFor(kept, '.sig'), tagFor(sbom, '.sig'), unknown].sort(),
    );
    // The image itself goes last: what is left of a run that was killed is found by the next.
    expect(pruned(result).at(-1)).toBe('hub/app:old deleted');
  });

  test('keeps what refers to a platform of a kept index', async () => {
    const { lan, app, hub } = await mirrored();
    const platform = addImage(app, { layers: ['amd64'] });
    addIndex(app, [[platform, AMD64]], 'multi');
    await lan.sync(mirror('[app]'));
    addImage(hub, { tag: tagFor(platform, '.sig'), layers: ['signature'] });
    hub.add(MEDIA_TYPES.ociManifest, await bytesOf(hub, platform), 'amd64');
    await lan.sync(mirror('[app]'), { prune: yes });
    expect(lan.tags('dst.lan/hub/app')).toEqual(['1', '2', 'multi', tagFor(platform, '.sig')]);
  });

  describe('where only manifests can be deleted', () => {
    test('keeps a tag whose digest a kept tag has', async () => {
      const { lan, hub } = await mirrored();
      const kept = await hub.stored('1');
      if (kept === undefined) throw new Error('it is there');
      hub.add(MEDIA_TYPES.ociManifest, await bytesOf(hub, kept), 'same-as-1');
      deleteByDigestOnly(hub);
      const result = await lan.sync(mirror('[app]'), { prune: yes });
      expect(pruned(result)).toEqual(['hub/app:old deleted', 'hub/app:same-as-1 kept']);
      expect(lan.tags('dst.lan/hub/app')).toEqual(['1', '2', 'same-as-1']);
    });

    test('keeps a tag whose digest is a part of a kept index', async () => {
      const { lan, app, hub } = await mirrored();
      const platform = addImage(app, { layers: ['amd64'] });
      addIndex(app, [[platform, AMD64]], 'multi');
      await lan.sync(mirror('[app]'));
      hub.add(MEDIA_TYPES.ociManifest, await bytesOf(hub, platform), 'amd64');
      deleteByDigestOnly(hub);
      const result = await lan.sync(mirror('[app]'), { prune: yes });
      expect(pruned(result)).toEqual(['hub/app:amd64 kept', 'hub/app:old deleted']);
      expect(hub.everything.contents).toContain(platform.digest);
    });

    test('two tags of one digest that both go are both deleted', async () => {
      const { lan, hub } = await mirrored();
      const old = await hub.stored('old');
      if (old === undefined) throw new Error('it is there');
      hub.add(MEDIA_TYPES.ociManifest, await bytesOf(hub, old), 'older');
      deleteByDigestOnly(hub);
      const result = await lan.sync(mirror('[app]'), { prune: yes });
      expect(pruned(result)).toEqual(['hub/app:old deleted', 'hub/app:older deleted']);
    });
  });

  test('a tag that cannot be deleted is a failure, and the others go', async () => {
    const { lan, hub } = await mirrored();
    addImage(hub, { tag: 'older', layers: ['older'] });
    lan.transport('dst.lan').onCall = (call) => {
      if (call === 'delete old') throw new RegistryError('DENIED', 'no');
    };
    const result = await lan.sync(mirror('[app]'), { prune: yes });
    expect(pruned(result)).toEqual(['hub/app:old failed', 'hub/app:older deleted']);
    expect(result.pruned[0]?.error).toMatchObject({ code: 'DENIED' });
  });

  test('images by their digests are kept, with what refers to them', async () => {
    const { lan, hub } = await mirrored();
    const image = addImage(lan.repository('src.lan/app'), { layers: ['by digest'] });
    const text = `{ sources: [{ images: ["src.lan/app:1", "src.lan/app@${image.digest}"] }], destinations: [docker://dst.lan/hub] }`;
    await lan.sync(text);
    hub.add(MEDIA_TYPES.ociManifest, await bytesOf(hub, image), 'named');
    addImage(hub, { tag: tagFor(image, '.sig'), layers: ['signature'] });
    deleteByDigestOnly(hub);
    const result = await lan.sync(text, { prune: yes });
    expect(pruned(result)).toEqual(['hub/app:2 deleted', 'hub/app:named kept', 'hub/app:old deleted']);
    expect(lan.tags('dst.lan/hub/app')).toEqual(['1', 'named', tagFor(image, '.sig')]);
  });

  test('an index that is asked for by its digest is kept with its platforms', async () => {
    const { lan, app, hub } = await mirrored();
    const platform = addImage(app, { layers: ['amd64'] });
    const index = addIndex(app, [[platform, AMD64]]);
    const text = `{ sources: [{ images: ["src.lan/app:1", "src.lan/app@${index.digest}"] }], destinations: [docker://dst.lan/hub] }`;
    await lan.sync(text);
    hub.add(MEDIA_TYPES.ociManifest, await bytesOf(hub, platform), 'amd64');
    deleteByDigestOnly(hub);
    const result = await lan.sync(text, { prune: yes });
    expect(pruned(result)).toContain('hub/app:amd64 kept');
    expect(hub.everything.contents).toContain(platform.digest);
  });

  test('excludes shards: none knows what became of the others', async () => {
    const { lan } = await mirrored();
    const shard = { index: 0, count: 2 };
    await expect(lan.sync(mirror('[app]'), { prune: yes, shard })).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
      message: '--prune and --shard exclude each other',
    });
  });

  const blob = { mediaType: MEDIA_TYPES.ociLayer, digest: digestOf(Buffer.from('layer')), size: 5 };
  const manifest = { ...blob, mediaType: MEDIA_TYPES.ociManifest };
  const declarations: [name: string, declaration: Declaration, deleted: string[]][] = [
    ['has all of its set', { omitted: [] }, ['hub/app:1 deleted', 'hub/app:old deleted']],
    ['lacks platforms only', { omitted: [manifest] }, ['hub/app:1 deleted', 'hub/app:old deleted']],
    [
      'says which images are elsewhere',
      { omitted: [blob], elsewhere: ['src.lan/app:1', 'src.lan/db:1'] },
      ['hub/app:old deleted', 'hub/db:old deleted'],
    ],
    ['was written where not all could be listed', { omitted: [], elsewhere: null }, []],
    ['is a delta that says nothing of its set', { omitted: [blob] }, []],
  ];
  test.each(declarations)('from an archive that %s', async (_name, declaration, deleted) => {
    const lan = new Mirrored();
    const archive = Object.assign(lan.transport('archive'), {
      declaration: () => Promise.resolve(declaration),
    });
    addImage(archive.repository('src.lan/app'), { tag: '2', layers: ['two'] });
    for (const [name, tags] of Object.entries({ app: ['1', '2', 'old'], db: ['1', 'old'] }))
      for (const tag of tags) addImage(lan.repository(`dst.lan/hub/${name}`), { tag, layers: [name, tag] });
    const text = 'sources: [{ from: "oci-archive:delta.tar" }]\ndestinations: [docker://dst.lan/hub]\n';
    const result = await lan.sync(text, { prune: yes });
    expect(pruned(result)).toEqual(deleted);
    const reasons = result.unpruned.map(({ reason }) => reason);
    const known = deleted.length > 0;
    expect(reasons).toEqual(
      known ? [] : [expect.stringMatching(/delta.tar does not say which images of its set/)],
    );
  });
});

async function bytesOf(repository: MemoryRepository, descriptor: Descriptor): Promise<Buffer> {
  return Buffer.concat((await (await repository.fetch(descriptor)).toArray()) as Buffer[]);
}
