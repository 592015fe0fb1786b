import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf } from '../../src/spec/index.js';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.js';
import { type CommandResult, peerOutput } from '../support/landfall-command.js';
import { addImage } from '../support/memory-images.js';
import { mirrorSet, pushAll } from '../support/mirror-set.js';
import { needsPeer } from '../support/peers.js';
import { repositoriesOf, requestsOf, tagsOf } from '../support/registry-facts.js';
import { landfall } from '../support/warm-command.js';

/** The blobs of an archive. */
async function blobsIn(file: string): Promise<string[]> {
  const names = (await peerOutput('tar', ['-tf', file])).split('\n');
  return names.filter((name) => /^blobs\/sha256\/./.test(name));
}

interface Report {
  readonly totals: Readonly<Record<string, number>>;
  readonly images: readonly {
    readonly name: string;
    readonly outcome: string;
    readonly digest: string;
    readonly bytes: number;
    readonly contents: readonly { readonly digest: string }[];
  }[];
  readonly pruned: readonly { readonly destination: string; readonly outcome: string }[];
}

describe.skipIf(needsPeer('docker-registry') !== undefined)('landfall sync', () => {
  let work: string;
  let source: DockerRegistry;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-sync-'));
    source = await startDockerRegistry();
    await pushAll(mirrorSet({ repositories: 3, tags: 5 }), source.address);
  });
  afterAll(async () => {
    await source.stop();
    await rm(work, { recursive: true, force: true });
  });

  /** Runs it with a file of these lines below its one source. */
  async function sync(lines: string, args: readonly string[], env = {}): Promise<CommandResult> {
    const file = join(await mkdtemp(join(work, 'file-')), 'mirror.yaml');
    await writeFile(file, lines.replaceAll('SOURCE', source.address));
    return await landfall(
      ['sync', '-f', file, '--root', join(work, 'root'), '--hosts-dir', join(work, 'none'), ...args],
      { env },
    );
  }

  const ALL = 'sources: [{ registry: "SOURCE", repositories: ["team/*"] }]\n';

  test('copies a set from registry to registry, and a second time moves nothing', async () => {
    await using mirror = await startDockerRegistry();
    const to = ['--to', `docker://${mirror.address}/hub`, '--no-referrers'];
    const first = await sync(ALL, to);
    expect(first.stderr).toContain('15 images in 3 repositories');
    expect(first.stdout).toMatch(/15 images: 15 copied \(\d+\.\d kB\), referrers of 15 left out\n$/);
    expect(first.code).toBe(0);
    expect(await repositoriesOf(mirror.address)).toEqual(['hub/team/r0', 'hub/team/r1', 'hub/team/r2']);
    for (const name of ['team/r0', 'team/r1', 'team/r2'])
      expect(await tagsOf(mirror.address, `hub/${name}`)).toEqual(await tagsOf(source.address, name));

    const before = [requestsOf(await source.accessLog()), requestsOf(await mirror.accessLog())];
    const second = await sync(ALL, to);
    expect(second).toMatchObject({
      code: 0,
      stdout: '15 images: 15 already there, referrers of 15 left out\n',
    });
    const asked = requestsOf(await source.accessLog()).slice(before[0]?.length);
    const looked = requestsOf(await mirror.accessLog()).slice(before[1]?.length);
    const heads = (lines: readonly string[]): string[] => lines.filter((line) => line.startsWith('HEAD '));
    expect(heads(asked).length).toBe(15);
    expect(new Set(heads(asked)).size).toBe(15);
    expect(asked.filter((line) => !line.startsWith('HEAD ')).sort()).toEqual([
      'GET /v2/_catalog',
      'GET /v2/team/r0/tags/list',
      'GET /v2/team/r1/tags/list',
      'GET /v2/team/r2/tags/list',
    ]);
    expect(heads(looked).length).toBe(15);
    expect(looked.length).toBe(15);
  });

  test('says what it would do: for people and as JSON', async () => {
    await using mirror = await startDockerRegistry();
    const lines = 'sources: [{ registry: "SOURCE", repositories: [team/r0], tags: { newest: 2 } }]\n';
    const to = ['--to', `docker://${mirror.address}`];
    await sync('sources: [{ images: ["SOURCE/team/r0:1.4.0"] }]', to);
    const text = await sync(lines, [...to, '--dry-run']);
    expect(text.stdout).toMatch(/^IMAGE +DESTINATION +WHAT +SIZE +DIGEST\n/);
    expect(text.stdout).toMatch(/team\/r0:1\.3\.0 +to copy +\d+(\.\d)? k?B /);
    expect(text.stdout).toMatch(/team\/r0:1\.4\.0 +already there +- /);
    expect(text.stdout).toMatch(/2 images: 1 to copy \(.*\), 1 already there\n$/);
    const json = JSON.parse((await sync(lines, [...to, '--dry-run', '--output', 'json'])).stdout) as Report;
    expect(json.images.map(({ outcome }) => outcome).sort()).toEqual(['exists', 'planned']);
    expect(json.totals).toMatchObject({ images: 2, planned: 1, exists: 1, failed: 0 });
    expect(await tagsOf(mirror.address, 'team/r0')).toEqual(['1.4.0']);
  });

  test('prunes by digest, with --yes only, and never what a kept tag has', async () => {
    await using mirror = await startDockerRegistry();
    const to = ['--to', `docker://${mirror.address}`];
    await sync(ALL, to);
    const extra = mirrorSet({ repositories: 1, tags: 1 });
    addImage(extra.repository('memory.lan/team/r0'), { tag: 'old', layers: ['old'] });
    addImage(extra.repository('memory.lan/mine/x'), { tag: 'kept' });
    const [named] = Object.keys(extra.repository('memory.lan/team/r0').everything.tags);
    if (named === undefined) throw new Error('it has a tag');
    await pushAll(extra, mirror.address);
    const refused = await sync(ALL, [...to, '--prune']);
    expect(refused).toMatchObject({ code: 2, stdout: '' });
    expect(refused.stderr).toContain('there is no terminal');
    const planned = await sync(ALL, [...to, '--prune', '--dry-run']);
    expect(planned.stdout).toContain(`would delete docker://${mirror.address}/team/r0:old`);
    const done = await sync(ALL, [...to, '--prune', '--yes']);
    expect(done.code).toBe(0);
    expect(done.stderr).toMatch(/TO DELETE +DIGEST\n.*team\/r0:old +/);
    expect(done.stdout).toMatch(
      /deleted docker:.*team\/r0:old .*\n15 images: 15 already there, 1 tag deleted\n$/s,
    );
    expect(await tagsOf(mirror.address, 'team/r0')).toEqual(await tagsOf(source.address, 'team/r0'));
    expect(await tagsOf(mirror.address, 'mine/x')).toEqual(['kept']);
  });

  test('a delta archive has what is new since a report, and makes a mirror whole with the first', async () => {
    await using mirror = await startDockerRegistry();
    const one = 'sources: [{ registry: "SOURCE", repositories: [team/r0], tags: ["1.0.0", "1.1.0"] }]\n';
    const two = one.replace('"1.1.0"', '"1.1.0", "1.2.0"');
    const path = (name: string): string => join(work, name);
    const first = await sync(one, ['--to', `oci-archive:${path('1.tar')}`, '--report', path('1.json')]);
    expect(first.code).toBe(0);
    const args = [
      '--to',
      `oci-archive:${path('2.tar')}`,
      '--since',
      path('1.json'),
      '--report',
      path('2.json'),
    ];
    const second = await sync(two, args);
    expect(second.stdout).toMatch(/3 images: 1 copied \(.*\), 2 delivered before\n$/);
    const report = JSON.parse(await readFile(path('2.json'), 'utf8')) as Report;
    expect(report.images.map(({ outcome }) => outcome)).toEqual(['unchanged', 'unchanged', 'copied']);
    for (const { contents } of report.images) expect(contents.length).toBeGreaterThan(2);
    // What the first had is not in it: neither the shared layer nor the images.
    const inFirst = await blobsIn(path('1.tar'));
    const inSecond = await blobsIn(path('2.tar'));
    expect(inFirst.length).toBeGreaterThan(4);
    expect(inSecond.length).toBeGreaterThan(2);
    expect(inSecond.filter((name) => inFirst.includes(name))).toEqual([]);
    for (const name of ['1.tar', '2.tar']) {
      const load = `sources: [{ from: "oci-archive:${path(name)}" }]`;
      const loaded = await sync(load, ['--to', `docker://${mirror.address}`]);
      expect(loaded.stderr).not.toContain('landfall: ');
      expect(loaded.code).toBe(0);
    }
    expect(await tagsOf(mirror.address, 'team/r0')).toEqual(['1.0.0', '1.1.0', '1.2.0']);
    const none = await sync(two, ['--to', `oci-archive:${path('3.tar')}`, '--since', path('2.json')]);
    expect(none.stdout).toBe('3 images: 3 delivered before\n');
    await expect(readFile(path('3.tar'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('pruning from a delta keeps what was delivered before, and deletes what the set lost', async () => {
    await using mirror = await startDockerRegistry();
    const path = (name: string): string => join(work, `pruned-${name}`);
    const near = async (repositories: string, name: string, since: readonly string[]): Promise<string> => {
      const to = ['--to', `oci-archive:${path(`${name}.tar`)}`, '--report', path(`${name}.json`)];
      const before = since.flatMap((one) => ['--since', path(`${one}.json`)]);
      const made = await sync(`sources: [{ registry: "SOURCE", repositories: ${repositories} }]`, [
        ...to,
        ...before,
      ]);
      expect(made.code).toBe(0);
      return made.stdout;
    };
    const far = async (name: string): Promise<CommandResult> =>
      await sync(`sources: [{ from: "oci-archive:${path(`${name}.tar`)}" }]`, [
        ...['--to', `docker://${mirror.address}`, '--prune', '--yes'],
      ]);
    const r0 = (tags: string): string => `{ name: team/r0, tags: [${tags}] }`;
    const r1 = '{ name: team/r1, tags: ["1.0.0", "1.1.0"] }';
    // Two deliveries, as of two shards.
    await near(`[${r0('"1.0.0", "1.1.0"')}]`, 'one', []);
    await near(`[${r1}]`, 'two', []);
    await near(`[${r0('"1.0.0", "1.1.0", "1.2.0"')}, ${r1}]`, 'delta', ['one', 'two']);
    const early = await sync(`sources: [{ from: "oci-archive:${path('delta.tar')}" }]`, ['--to', 'store']);
    expect(early.stderr).toMatch(/is a delta: it lacks sha256:[0-9a-f]+, which was delivered before/);
    expect(early.stderr).toMatch(
      /Load pruned-one.tar \(written .*\), then pruned-two.tar \(written .*\) first/,
    );
    const root = join(work, 'without-base');
    const loaded = await landfall(['load', '-i', path('delta.tar'), '--root', root]);
    expect({ code: loaded.code, errors: loaded.stderr.match(/is a delta/g) }).toEqual({
      ...{ code: 3, errors: ['is a delta'] },
    });
    expect(loaded.stderr).toContain('Load pruned-one.tar (written ');
    for (const name of ['one', 'two', 'delta']) expect((await far(name)).stdout).not.toContain('delete');
    expect(await tagsOf(mirror.address, 'team/r0')).toEqual(['1.0.0', '1.1.0', '1.2.0']);
    expect(await tagsOf(mirror.address, 'team/r1')).toEqual(['1.0.0', '1.1.0']);
    // Another repository shares a layer with what was delivered before.
    const r2 = '{ name: team/r2, tags: ["1.1.0"] }';
    const last = await near(`[${r0('"1.1.0", "1.2.0", "1.3.0"')}, ${r1}, ${r2}]`, 'last', ['delta']);
    expect(last).toMatch(/6 images: 2 copied \(.*\), 4 delivered before\n$/);
    const pruned = await far('last');
    expect(pruned.stderr).not.toContain('landfall: ');
    expect(pruned.stdout).toMatch(/deleted docker:.*team\/r0:1\.0\.0/);
    expect(await tagsOf(mirror.address, 'team/r2')).toEqual(['1.1.0']);
    expect(await tagsOf(mirror.address, 'team/r0')).toEqual(['1.1.0', '1.2.0', '1.3.0']);
    expect(await tagsOf(mirror.address, 'team/r1')).toEqual(['1.0.0', '1.1.0']);
  });

  test('a mirror is verified past a repository that has no tags', async () => {
    await using mirror = await startDockerRegistry();
    await sync('sources: [{ images: ["SOURCE/team/r1:1.0.0"] }]', ['--to', `docker://${mirror.address}`]);
    // What a push that broke off before its manifest has left.
    const uploads = `http://${mirror.address}/v2/team/r0/blobs/uploads/`;
    const begun = await fetch(uploads, { method: 'POST' });
    const digest = digestOf(Buffer.from('layer'));
    const where = `${begun.headers.get('location') ?? ''}&digest=${digest}`;
    expect((await fetch(where, { method: 'PUT', body: 'layer' })).status).toBe(201);
    expect(await repositoriesOf(mirror.address)).toEqual(['team/r0', 'team/r1']);
    const { stdout } = await landfall(['verify', `docker://${mirror.address}/`]);
    expect(stdout).toMatch(/images +1\n/);
  });

  test('to a layout and to the store, and from them', async () => {
    await using mirror = await startDockerRegistry();
    const layout = join(work, 'layout');
    const first = await sync(ALL, ['--to', `oci:${layout}`, '--to', 'store']);
    expect(first.stdout).toMatch(/30 images: 30 copied/);
    const again = await sync(ALL, ['--to', `oci:${layout}`, '--to', 'store']);
    expect(again.stdout).toBe('30 images: 30 already there\n');
    for (const from of [`oci:${layout}`, 'store']) {
      const back = await sync(`sources: [{ from: "${from}" }]`, ['--to', `docker://${mirror.address}/x`]);
      expect(back.code).toBe(0);
    }
    expect(await tagsOf(mirror.address, 'x/team/r1')).toEqual(await tagsOf(source.address, 'team/r1'));
  });

  test('500 tags that are there cost one list, and one look for each at either side', async () => {
    await using many = await startDockerRegistry();
    await using mirror = await startDockerRegistry();
    const set = mirrorSet({ repositories: 1, tags: 4 });
    const repository = set.repository('memory.lan/team/r0');
    for (let at = 0; at < 500; at += 1)
      addImage(repository, { tag: `t${at}`, layers: ['shared by all', `${at % 5}`] });
    const lines = `sources: [{ registry: "${many.address}", repositories: [team/r0], tags: { include: "t.*" }, referrers: false }]\n`;
    await pushAll(set, many.address);
    await sync(lines, ['--to', `docker://${mirror.address}`]);
    const before = [requestsOf(await many.accessLog()).length, requestsOf(await mirror.accessLog()).length];
    const again = await sync(lines, ['--to', `docker://${mirror.address}`]);
    expect(again.stdout).toBe('500 images: 500 already there, referrers of 500 left out\n');
    expect(requestsOf(await many.accessLog()).length - (before[0] ?? 0)).toBe(501);
    expect(requestsOf(await mirror.accessLog()).length - (before[1] ?? 0)).toBe(500);
  });

  test('a registry that takes no index with parts missing is explained', async () => {
    await using mirror = await startDockerRegistry();
    const lines = 'sources: [{ registry: "SOURCE", repositories: [team/r0], platforms: linux/amd64 }]\n';
    const refused = await sync(lines, ['--to', `docker://${mirror.address}`]);
    expect(refused.code).toBe(5);
    expect(refused.stderr).toContain('set `rewriteIndex: true`');
    const rewritten = await sync(lines.replace(' }]', ', rewriteIndex: true }]'), [
      '--to',
      `docker://${mirror.address}`,
    ]);
    expect(rewritten.stdout).toMatch(/5 images: 1 copied .*, 4 already there\n$/);
  });

  test.each([
    ['what is not there', 'sources: [{ images: ["SOURCE/team/r0:none", "SOURCE/team/r0:1.0.0"] }]', 3],
    ['a file that is wrong', 'sources: []', 2],
  ])('%s gives its exit code', async (_name, lines, code) => {
    const result = await sync(lines, ['--to', `oci:${join(work, 'codes')}`]);
    expect(result.code).toBe(code);
  });
});
