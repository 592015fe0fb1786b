import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { type CommandResult, landfall } from '../support/landfall-command.js';
import { loadedBy } from '../support/loaded-modules.js';
import { type LyingRegistry, startLyingRegistry } from '../support/lying-registry.js';
import { makeTinyLayout } from '../support/tiny-image.js';

describe('the built command', () => {
  let work: string;
  let home: string;
  let file: string;
  let registry: LyingRegistry;
  let image: string;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-configuration-'));
    registry = await startLyingRegistry(await makeTinyLayout(join(work, 'layout')));
    image = `${registry.address}/team/app:1`;
  });
  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });
  beforeEach(async () => {
    home = await mkdtemp(join(work, 'home-'));
    file = join(home, '.config/landfall/config.toml');
    await mkdir(dirname(file), { recursive: true });
  });
  afterEach(() => rm(home, { recursive: true }));

  /** As a user with this home, whose file counts; the system's, if this machine has one, must not. */
  const run = (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<CommandResult> =>
    landfall(args, { env: { HOME: home, LANDFALL_CONFIG: file, ...env } });
  const pull = (...args: string[]): Promise<CommandResult> =>
    run(['pull', '--progress', 'none', ...args, image]);

  it('pulls as a file says: where to, from whom, how, and what it answers', async () => {
    await writeFile(
      file,
      [
        'root = "store"',
        'hosts-dir = []',
        'output = "json"',
        'snapshots = "native"',
        '[pull]',
        'platform = "linux/amd64"',
        'unpack = false',
      ].join('\n'),
    );
    const { code, stdout, stderr } = await pull();
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject([{ reference: image, platform: 'linux/amd64' }]);
    const store = join(dirname(file), 'store');
    expect(await readdir(store)).toContain('oci-layout');
    expect(await readdir(join(store, 'snapshots'))).toEqual([]);
    // And otherwise where that is typed.
    const typed = await pull('--unpack=true', '--output', 'text');
    expect(typed.code).toBe(0);
    expect(typed.stdout).not.toMatch(/^\[/);
    expect((await readdir(join(store, 'snapshots'))).length).toBeGreaterThan(0);
  });

  it('takes the platform of the file for one that the image does not have, unless another is typed', async () => {
    await writeFile(
      file,
      `root = "store"\nhosts-dir = []\nsnapshots = "native"\n[pull]\nplatform = "linux/s390x"`,
    );
    expect((await pull()).code).toBe(3);
    expect((await pull('--platform', 'linux/amd64')).code).toBe(0);
  });

  it('has a file and shows a config in one line: --config FILE inspect --config REF', async () => {
    await writeFile(file, '');
    const named = join(home, 'named.toml');
    await writeFile(named, `root = "store"\nhosts-dir = []\nsnapshots = "native"`);
    const pulled = await run(['--config', named, 'pull', '--progress', 'none', '--output', 'json', image]);
    expect(pulled.code).toBe(0);
    const [{ imageId }] = JSON.parse(pulled.stdout) as [{ imageId: string }];
    const { code, stdout, stderr } = await run(['--config', named, 'inspect', '--config', image]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(`sha256:${createHash('sha256').update(stdout).digest('hex')}`).toBe(imageId);
    // Without the file there is another store, and in that no such image.
    expect((await run(['inspect', '--config', image, '--root', join(home, 'other')])).code).toBe(3);
  });

  it.each([
    [
      'text',
      [],
      /^landfall: \S+:2: concurency is no key that landfall knows\n {2}hint: Did you mean concurrency\? .*\n$/,
    ],
    [
      'json',
      ['--output', 'json'],
      /^\{"code":"INVALID_CONFIG",.*"details":\{"file":.*,"line":2,"key":"concurency"\},"retryable":false\}\n$/,
    ],
  ])('tells of a fault and ends with 2, as %s, and does nothing', async (_, args, expected) => {
    await writeFile(file, `root = "store"\nconcurency = 4`);
    const { code, stdout, stderr } = await run(['pull', ...args, image]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(expected);
    expect(await readdir(dirname(file))).toEqual(['config.toml']);
    const { code: helped, stdout: help } = await run(['pull', '--help']);
    expect(helped).toBe(0);
    expect(help).toMatch(/^Usage: landfall pull /);
  });

  it('loads the reader of files only where there is a file', async () => {
    const reader = ['cli/config/config-file', 'formats/toml-table'];
    const root = join(home, 'none');
    const without = await loadedBy(['images', '--root', root], join(home, 'without'));
    expect(without.code).toBe(0);
    expect(without.packages).not.toContain('smol-toml');
    expect(without.own.filter((module) => reader.includes(module))).toEqual([]);
    await writeFile(file, 'concurrency = 4');
    const given = await loadedBy(['images', '--root', root, '--config', file], join(home, 'with'));
    expect(given.packages).toContain('smol-toml');
    expect(given.own).toEqual(expect.arrayContaining(reader));
  });

  it('writes a template that it reads', async () => {
    const { stdout } = await run(['config', '--template'], { LANDFALL_CONFIG: '/dev/null' });
    await writeFile(file, stdout);
    expect(await run(['config', '-q', 'concurrency', '--concurrency', '3'])).toMatchObject({
      code: 0,
      stdout: '3\n',
      stderr: '',
    });
  });
});
