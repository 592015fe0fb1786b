import { mkdtemp, readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { makeTinyLayout, type TinyLayoutOptions } from '../../support/tiny-image.js';
import { removeTree } from '../../support/unpack-fixture.js';
import { type Ran, run } from './serve-lists.js';

const [uid, gid] = [process.geteuid?.() ?? 0, process.getegid?.() ?? 0];

let work: string;
beforeEach(async () => {
  work = await mkdtemp(join(tmpdir(), 'landfall-bundle-'));
});
afterEach(() => removeTree(work));

/** Runs `landfall bundle` on an image of one layer. */
async function bundle(image: TinyLayoutOptions, ...options: string[]): Promise<Ran> {
  const layers = [[{ path: 'etc/passwd', content: 'app:x:1000:100::/:\n' }]];
  await makeTinyLayout(join(work, 'layout'), { layers, ...image });
  return run('bundle', ...options, '--progress', 'none', `oci:${join(work, 'layout')}`, join(work, 'ctr'));
}

/** What a path of config.json holds. */
async function written(section: string): Promise<unknown> {
  const config = JSON.parse(await readFile(join(work, 'ctr/config.json'), 'utf8')) as Record<string, unknown>;
  return config[section];
}

describe('landfall bundle', () => {
  test('says what it made, and where', async () => {
    const { code, out, err } = await bundle({ config: { Cmd: ['true'] } });
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toBe(
      `made a bundle of oci:${join(work, 'layout')} (linux/amd64, 1 layer) in ${join(work, 'ctr')}\n`,
    );
    expect((await readdir(join(work, 'ctr'))).sort()).toEqual(['config.json', 'rootfs']);
  });

  test('answers in JSON with what will run', async () => {
    const config = { Entrypoint: ['/e'], Cmd: ['c'], WorkingDir: '/w', User: '7:8' };
    const { code, out } = await bundle({ config }, '--output', 'json');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      directory: join(work, 'ctr'),
      args: ['/e', 'c'],
      cwd: '/w',
      user: { uid: 7, gid: 8 },
      layers: [{}],
      omittedDevices: [],
      warnings: [],
    });
  });

  test('--rootless maps the caller, and warns of a user that it cannot map', async () => {
    const { code, err } = await bundle({ config: { User: 'app' } }, '--rootless');
    expect(code).toBe(0);
    expect(err).toMatch(/^landfall: warning: the image runs as user 1000, group 100, /);
    expect(await written('linux')).toMatchObject({
      uidMappings: [{ containerID: 0, hostID: uid, size: 1 }],
      gidMappings: [{ containerID: 0, hostID: gid, size: 1 }],
    });
  });

  test('--terminal gives a terminal', async () => {
    await bundle({ config: {} }, '--terminal');
    expect(await written('process')).toMatchObject({ terminal: true });
  });

  test('--uid-map and --gid-map make a user namespace', async () => {
    const maps = [`--uid-map=0:${uid}:1`, '--uid-map=1:100000:9', `--gid-map=0:${gid}:1`];
    expect((await bundle({}, ...maps)).code).toBe(0);
    expect(await written('linux')).toMatchObject({
      uidMappings: [
        { containerID: 0, hostID: uid, size: 1 },
        { containerID: 1, hostID: 100_000, size: 9 },
      ],
      gidMappings: [{ containerID: 0, hostID: gid, size: 1 }],
    });
  });

  test.each<[string, TinyLayoutOptions, string[], number, string]>([
    ['a map of users alone', {}, ['--uid-map=0:0:1'], 2, 'INVALID_CONFIG'],
    ['a platform that is not there', {}, ['--platform=linux/riscv64'], 3, 'NO_MATCHING_PLATFORM'],
    [
      'an image for another system',
      { platforms: ['windows/amd64'] },
      ['--platform=windows/amd64'],
      1,
      'UNSUPPORTED',
    ],
    ['a user that is not there', { config: { User: 'ghost' } }, [], 7, 'INVALID_MANIFEST'],
    ['a limit that is met', {}, ['--unpack-limit=layer-bytes=1'], 7, 'LIMIT_EXCEEDED'],
  ])('ends with the exit code of %s, and leaves nothing', async (_, image, options, exitCode, code) => {
    const { code: ended, err } = await bundle(image, '--output', 'json', ...options);
    expect(ended).toBe(exitCode);
    expect(JSON.parse(err)).toMatchObject({ code });
    expect(await readdir(work)).toEqual(['layout']);
  });

  test('refuses a directory that is not empty', async () => {
    await bundle({});
    const before = await readFile(join(work, 'ctr/config.json'), 'utf8');
    const { code } = await bundle({ config: { Cmd: ['other'] } });
    expect(code).toBe(2);
    expect(await readFile(join(work, 'ctr/config.json'), 'utf8')).toBe(before);
  });
});
