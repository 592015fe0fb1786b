import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { documented, runWithBytes } from './archives.js';
import { fillStore } from './filled-store.js';
import { type LookedAt, lookedAt } from './looked-at.js';
import { SBOM, type ServedLists, serveLists, SIGNATURE } from './serve-lists.js';

let at: LookedAt;
let served: ServedLists;
beforeAll(async () => {
  at = await lookedAt();
  served = await serveLists();
});
afterAll(async () => {
  await at[Symbol.asyncDispose]();
  await served[Symbol.asyncDispose]();
});

interface Node {
  readonly role: string;
  readonly digest: string;
  readonly uses: number;
  readonly repeated: boolean;
  readonly here?: boolean;
  readonly artifactType?: string;
  readonly children: readonly Node[];
  readonly referrers: readonly Node[];
}

async function treeOf(...argv: string[]): Promise<Node> {
  const { code, out, err } = await at.run('tree', '--output', 'json', ...argv);
  expect({ code, err }).toEqual({ code: 0, err: '' });
  return JSON.parse(out) as Node;
}

describe('landfall tree', () => {
  test('draws an image of a layout', async () => {
    const [{ manifest, config, layers }] = at.two.manifests;
    const { out } = await at.run('tree', at.names.two);
    expect(out.split('\n').map((line) => line.replace(/ +/g, ' '))).toEqual([
      at.names.two,
      `└─ manifest ${manifest.digest} ${manifest.size} B`,
      ` ├─ config ${config.digest} ${config.size} B`,
      ...layers.map(({ digest, size }, i) => ` ${i === 0 ? '├' : '└'}─ layer ${digest} ${size} B`),
      '',
    ]);
  });

  test('in ASCII where the locale has nothing else', async () => {
    const { out } = await at.run('tree', at.names.two);
    const { out: plain } = await runInLocale('C', 'tree', at.names.two);
    expect(plain).toBe(out.replaceAll('└─', '`-').replaceAll('├─', '|-').replaceAll('│', '|'));
  });

  test('with what refers to the image, and what refers to that', async () => {
    const image = `docker://${served.host}/team/app:2`;
    const { out, code } = await at.run('tree', '--plain-http', image);
    expect(code).toBe(0);
    const lines = out.split('\n');
    expect(lines.find((line) => line.includes(SBOM))).toMatch(
      new RegExp(`referrer ${SBOM} +${served.sbom.digest}`),
    );
    expect(lines.find((line) => line.includes(SIGNATURE))).toContain(served.signature.digest);
    const tree = await treeOf('--plain-http', image);
    expect(tree.referrers).toMatchObject([
      { digest: served.sbom.digest, artifactType: SBOM, referrers: [{ digest: served.signature.digest }] },
    ]);
    expect((await treeOf('--plain-http', '--no-referrers', image)).referrers).toEqual([]);
  });

  test('marks what is there several times, and what is not here', async () => {
    await using store = await fillStore([
      { name: 'registry.k8s.io/pause:3', platforms: ['linux/amd64', 'linux/arm64'] },
    ]);
    const [layout] = store.layouts;
    if (layout === undefined) throw new Error('no image');
    const [first, second] = layout.manifests;
    await store.with(async ({ content }) => {
      await content.delete(second?.manifest.digest ?? first.manifest.digest);
      await content.delete(first.layers[1]?.digest ?? first.config.digest);
    });
    const tree = (await store.runJson('tree', 'registry.k8s.io/pause:3')) as Node;
    expect(tree.children.map(({ here }) => here)).toEqual([true, false]);
    expect(tree.children[0]?.children.map(({ role, here }) => `${role} ${String(here)}`)).toEqual([
      'config true',
      'layer true',
      'layer false',
    ]);
    const { out } = await store.run('tree', 'registry.k8s.io/pause:3');
    expect(out.split('\n').filter((line) => line.endsWith('not here'))).toHaveLength(2);
  });

  test('one platform of several', async () => {
    await using store = await fillStore([
      { name: 'registry.k8s.io/pause:3', platforms: ['linux/amd64', 'linux/arm64'] },
    ]);
    const all = (await store.runJson('tree', 'registry.k8s.io/pause:3')) as Node;
    // Both platforms have the same layers here.
    expect(all.children[1]?.children.filter(({ role }) => role === 'layer').map(({ uses }) => uses)).toEqual([
      2, 2,
    ]);
    const one = (await store.runJson('tree', '--platform', 'linux/arm64', 'registry.k8s.io/pause:3')) as Node;
    expect(one.children.map(({ digest }) => digest)).toEqual([all.children[1]?.digest]);
    const { code, err } = await store.run('tree', '--platform', 'linux/s390x', 'registry.k8s.io/pause:3');
    expect(code).toBe(3);
    expect(err).toMatch(/no manifest for linux\/s390x; it has: linux\/amd64, linux\/arm64/);
  });

  test('has the documented keys', async () => {
    const keys = (node: object): string[] => Object.keys(node).sort();
    const wanted = documented('tree') as Node;
    const shown = await treeOf(at.names.two);
    const allowed = new Set([
      ...keys(wanted),
      ...keys(wanted.children[0] ?? {}),
      ...keys(wanted.referrers[0] ?? {}),
    ]);
    for (const node of [shown, ...shown.children])
      for (const key of keys(node)) expect(allowed).toContain(key);
    expect(keys(shown)).toEqual(expect.arrayContaining(keys(wanted)));
  });
});

async function runInLocale(locale: string, ...argv: string[]): Promise<{ out: string }> {
  return await runWithBytes(argv, { locale });
}
