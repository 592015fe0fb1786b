import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeRelease, type ReleaseOptions } from '../../../scripts/release/make-release.js';
import { sha256Of } from '../../../scripts/release/pack.js';
import type { RunProgram } from '../../../scripts/release/run-program.js';

const CHANGELOG = '# Changelog\n\n## Unreleased\n\n- Sails.\n';
const CLEAN = JSON.stringify({ vulnerabilities: {} });

/** What the programs of a release answer, by how they are called; where nothing is said, nothing. */
type Answers = Readonly<Record<string, string | Error | ((call: string) => string)>>;

describe('a release', () => {
  let root: string;
  let work: string;
  let calls: string[];
  let reported: string[];

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'landfall-release-'));
    work = await mkdtemp(join(tmpdir(), 'landfall-release-'));
    calls = [];
    reported = [];
    const version = JSON.stringify({ version: '0.2.0' });
    await writeFile(join(root, 'package.json'), version);
    await writeFile(join(root, 'package-lock.json'), version);
    await writeFile(join(root, 'CHANGELOG.md'), CHANGELOG);
    await mkdir(join(root, 'scripts/release'), { recursive: true });
    await writeFile(join(root, 'scripts/release/audit-allowed.json'), '[]');
    await mkdir(join(root, 'dist'));
    await writeFile(join(root, 'dist/sbom.cdx.json'), 'the bill');
  });
  afterEach(async () => {
    for (const directory of [root, work]) await rm(directory, { recursive: true });
  });

  /** Makes one in which git and npm only seem to do something. */
  async function release(answers: Answers = {}, change: Partial<ReleaseOptions> = {}): Promise<void> {
    const run: RunProgram = async (program, args, { env }) => {
      const call = [program, ...args].join(' ').replaceAll(work, 'WORK').replaceAll(root, 'ROOT');
      calls.push([call, ...Object.keys(env ?? {})].join(' '));
      if (call.startsWith('git clone')) await cp(root, join(work, 'tree'), { recursive: true });
      const [, answer = ''] = Object.entries(answers).find(([begin]) => call.startsWith(begin)) ?? [];
      if (answer instanceof Error) throw answer;
      if (call.startsWith('npm pack')) {
        const [into = ''] = args.slice(-1);
        const bytes = typeof answer === 'function' ? answer(call) : 'the archive';
        await writeFile(join(into, 'landfall-0.2.0.tgz'), bytes);
        return JSON.stringify([{ filename: 'landfall-0.2.0.tgz' }]);
      }
      if (call.startsWith('npm audit') && answer === '') return CLEAN;
      return typeof answer === 'string' ? answer : answer(call);
    };
    await makeRelease({
      root,
      work,
      date: '2026-11-29',
      dryRun: false,
      run,
      emit: (line) => reported.push(line),
      ...change,
    });
  }
  const changelog = (): Promise<string> => readFile(join(root, 'CHANGELOG.md'), 'utf8');

  it('is installed, built, audited, checked, tested and packed in a clone, in that order', async () => {
    await release();
    expect(calls).toEqual([
      'git status --porcelain',
      'git tag --list',
      'git clone --quiet --no-hardlinks ROOT WORK/tree',
      'npm ci --no-audit --no-fund',
      'npm run natives',
      'npm audit --json',
      'npm run lint',
      'npm run typecheck',
      'npm test LANDFALL_BUILT LANDFALL_REQUIRE_PEERS',
      'npm test -- test/e2e/package.test.ts test/e2e/package-contents.test.ts LANDFALL_BUILT LANDFALL_LONG',
      'npm pack --ignore-scripts --json --pack-destination WORK/1',
      'npm pack --ignore-scripts --json --pack-destination WORK/2',
    ]);
  });

  it('lies in release/, with its bill of materials, notes and checksums', async () => {
    await mkdir(join(root, 'release'));
    await writeFile(join(root, 'release/landfall-0.1.0.tgz'), 'an old one');
    await release();
    const files = ['NOTES.md', 'SHA256SUMS', 'landfall-0.2.0.cdx.json', 'landfall-0.2.0.tgz'];
    expect((await readdir(join(root, 'release'))).sort()).toEqual(files);
    expect(await readFile(join(root, 'release/NOTES.md'), 'utf8')).toBe('- Sails.\n');
    expect(await readFile(join(root, 'release/landfall-0.2.0.cdx.json'), 'utf8')).toBe('the bill');
    const sums = await readFile(join(root, 'release/SHA256SUMS'), 'utf8');
    for (const file of files.filter((name) => name !== 'SHA256SUMS'))
      expect(sums).toContain(`${await sha256Of(join(root, 'release', file))}  ${file}\n`);
  });

  it('has its part in the changelog that is packed, and in the one that is left to be committed', async () => {
    await release();
    const expected = '# Changelog\n\n## Unreleased\n\n## 0.2.0 - 2026-11-29\n\n- Sails.\n';
    expect(await changelog()).toBe(expected);
    expect(await readFile(join(work, 'tree/CHANGELOG.md'), 'utf8')).toBe(expected);
  });

  it('publishes nothing, and says what is next', async () => {
    await release();
    expect(calls.filter((call) => /publish|push|commit|annotate/.test(call))).toEqual([]);
    expect(reported.at(-1)).toContain('npm publish release/landfall-0.2.0.tgz');
    expect(reported.at(-1)).toContain('git tag --annotate v0.2.0');
  });

  it('of which nothing is done but checked, with --dry-run', async () => {
    await release({}, { dryRun: true });
    expect(calls).toEqual(['git status --porcelain', 'git tag --list']);
    expect(reported.join('\n')).toContain('11/11 write CHANGELOG.md');
    expect(reported.at(-1)).toContain('- Sails.');
    expect(await changelog()).toBe(CHANGELOG);
  });

  it.each<[string, Answers, string, number]>([
    ['the tree has changes', { 'git status': ' M src/x.ts\n' }, 'the tree has changes', 1],
    ['the version is tagged', { 'git tag': 'v0.1.0\nv0.2.0\n' }, 'there is a tag v0.2.0 already', 2],
    ['it does not build', { 'npm ci': new Error('npm ci failed with 1') }, 'npm ci failed', 4],
    [
      'something in it is known to be unsafe',
      {
        'npm audit': JSON.stringify({
          vulnerabilities: {
            a: { via: [{ url: 'GHSA-aaaa-bbbb-cccc', name: 'a', title: 'leaks', severity: 'low' }] },
          },
        }),
      },
      'GHSA-aaaa-bbbb-cccc: a: leaks (low)',
      6,
    ],
    ['a test fails', { 'npm test': new Error('npm test failed with 1') }, 'npm test failed', 9],
    ['packing is not reproducible', { 'npm pack': (call) => call }, 'gave other bytes', 12],
  ])('is none where %s, and the repository is as it was', async (_how, answers, why, done) => {
    await expect(release(answers)).rejects.toThrow(why);
    expect(calls).toHaveLength(done);
    expect(await changelog()).toBe(CHANGELOG);
    expect(await readdir(root)).not.toContain('release');
  });

  it('goes on where the registry offers no audit, and says so', async () => {
    await release({ 'npm audit': JSON.stringify({ message: '405 Method Not Allowed', statusCode: 405 }) });
    expect(reported.join('\n')).toContain('the registry does not offer it (405 Method Not Allowed)');
    expect(reported.at(-1)).toContain('What is next');
  });
});
