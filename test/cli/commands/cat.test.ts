import { chmod, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { archive, file } from '../../support/tar-builder.js';
import { makeTinyLayout } from '../../support/tiny-image.js';
import { CapturedStream } from '../fake-surroundings.js';
import { documented, runWithBytes } from './archives.js';
import { type LookedAt, lookedAt } from './looked-at.js';

let at: LookedAt;
beforeEach(async () => {
  at = await lookedAt();
});
afterEach(() => at[Symbol.asyncDispose]());

describe('landfall cat', () => {
  test.each<[path: string, content: string]>([
    ['/etc/hosts', '127.0.0.1 HARBOUR\n'],
    ['etc/link', '127.0.0.1 HARBOUR\n'],
    ['/bin/flood', 'ebb and flood'],
    ['/etc/../srv/new', 'new'],
  ])('%s', async (path, content) => {
    expect(await at.run('cat', at.names.two, path)).toMatchObject({ code: 0, out: content, err: '' });
  });

  test.each<[path: string, code: number, err: RegExp]>([
    ['/etc', 2, /"\/etc" is a directory, and has no content\n {2}hint: .*landfall ls/],
    ['/dev/null', 2, /is a character device/],
    ['/etc/gone', 3, /"\/etc\/gone" is not in the image/],
  ])('%s fails', async (path, code, err) => {
    const ran = await at.run('cat', at.names.two, path);
    expect(ran.code).toBe(code);
    expect(ran.err).toMatch(err);
    expect(ran.bytes).toHaveLength(0);
  });

  test('writes to a file, and tells of it in JSON as documented', async () => {
    const target = join(at.directory, 'hosts');
    const { code, out } = await at.run('cat', '--output', 'json', at.names.one, '/etc/hosts', '-o', target);
    expect(code).toBe(0);
    expect(Object.keys(JSON.parse(out) as object)).toEqual(Object.keys(documented('cat') as object));
    expect(await readFile(target, 'utf8')).toBe('127.0.0.1 harbour\n');
  });

  test('writes nothing of a layer that is damaged, be it behind the file', async () => {
    const digest = at.one.manifests[0].layers[0]?.digest ?? '';
    const blob = join(at.directory, 'one/blobs', ...digest.split(':'));
    const bytes = await readFile(blob);
    bytes[bytes.length - 6] = (bytes.at(-6) ?? 0) ^ 1;
    await chmod(blob, 0o644);
    await writeFile(blob, bytes);
    const ran = await at.run('cat', at.names.one, '/etc/hosts');
    expect(ran).toMatchObject({ code: 6, out: '' });
    const before = await readdir(at.directory);
    expect(await at.run('cat', at.names.one, '/etc/hosts', '-o', join(at.directory, 'new'))).toMatchObject({
      code: 6,
    });
    expect(await readdir(at.directory)).toEqual(before);
  });

  test('gives a terminal text, and nothing that could be a command to it', async () => {
    const terminal = (): { stdout: CapturedStream } => ({
      stdout: new CapturedStream({ isTTY: true, columns: 80 }),
    });
    expect((await runWithBytes(['cat', at.names.one, '/etc/hosts'], terminal())).out).toBe(
      '127.0.0.1 harbour\n',
    );
    const evil = await runWithBytes(
      ['blob', `${at.names.one}@${at.one.manifests[0].layers[0]?.digest ?? ''}`],
      terminal(),
    );
    expect(evil).toMatchObject({ code: 2, out: '' });
    expect(evil.err).toMatch(/is not text, and is not written to a terminal/);
  });

  test.each<[what: string, content: Buffer, code: number]>([
    [
      'letters of two, three and four bytes',
      Buffer.from('\u00c0\u00e9\u00db\u2019\u00a0\u4e1b\u{1f600}\n'),
      0,
    ],
    ['U+009B, with which sequences begin', Buffer.from('a\u009b31m'), 2],
    ['the same as a single byte', Buffer.from('a\x9b31m', 'latin1'), 2],
  ])('gives a terminal %s as it is, or not at all', async (_, content, code) => {
    const { dir } = await makeTinyLayout(join(at.directory, 'text'), {
      layers: [archive(file('text', content))],
    });
    const terminal = { stdout: new CapturedStream({ isTTY: true, columns: 80 }) };
    const ran = await runWithBytes(['cat', `oci:${dir}`, '/text'], terminal);
    expect(ran).toMatchObject({ code, out: code === 0 ? content.toString() : '' });
  });
});
