import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { SlowImages } from '../../support/slow-images.js';
import { secret } from '../../support/secrets.js';
import { run } from './serve-lists.js';

test('an image that is named several times, with docker:// and without, is pulled once', async () => {
  const work = await mkdtemp(join(tmpdir(), 'landfall-pull-'));
  await using images = await SlowImages.start([{ name: 'team/app', layers: [2000, 500] }]);
  try {
    const [name = ''] = images.references;
    const { code, out } = await run(
      ...['--root', join(work, 'store'), '--snapshots', 'native', '--hosts-dir', '/nonexistent'],
      ...['--plain-http', '--output', 'json', 'pull', '--platform', 'linux/amd64'],
      ...[name, `docker://${name}`, name],
    );
    expect(code).toBe(0);
    expect((JSON.parse(out) as { reference: string }[]).map(({ reference }) => reference)).toEqual([name]);
  } finally {
    await rm(work, { recursive: true });
  }
});

test.each(['--progress=plain', '--output=json'])(
  'a password in a reference is told nowhere: pull %s',
  async (option) => {
    const directory = await mkdtemp(join(tmpdir(), 'landfall-pull-'));
    try {
      const [trace, timeline] = [join(directory, 'trace.json'), join(directory, 'timeline.svg')];
      const password = secret('told-nowhere');
      const { code, out, err } = await run(
        ...['pull', option, '--root', join(directory, 'store'), '--trace', trace, '--timeline', timeline],
        ...[`me:${password}@quay.io/x`, 'Not/An/Image'],
      );
      expect(code).toBe(2);
      const all = [out, err, await readFile(trace, 'utf8'), await readFile(timeline, 'utf8')].join('\n');
      expect(all).toContain('***@quay.io/x');
      expect(all).not.toContain(password);
    } finally {
      await rm(directory, { recursive: true });
    }
  },
);
