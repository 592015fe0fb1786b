import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SlowImages } from '../../support/slow-images.js';
import { secret } from '../../support/secrets.js';
import { landfall } from '../../support/landfall-command.js';
import { type Ran, run } from './serve-lists.js';

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

describe('a list of images', () => {
  let work: string;
  let images: SlowImages;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-pull-list-'));
    images = await SlowImages.start([
      { name: 'team/app', layers: [2000, 500] },
      { name: 'team/other', layers: [100] },
    ]);
  });
  afterAll(async () => {
    await images[Symbol.asyncDispose]();
    await rm(work, { recursive: true });
  });

  const pull = (...args: string[]): Promise<Ran> =>
    run(
      ...['--root', join(work, 'store'), '--snapshots', 'native', '--hosts-dir', '/nonexistent'],
      ...['--plain-http', '--progress', 'none', 'pull', '--platform', 'linux/amd64', ...args],
    );
  const list = async (text: string): Promise<string> => {
    const file = join(work, 'list');
    await writeFile(file, text);
    return file;
  };

  test('is pulled, remarks and what is named twice left out, with one line for all', async () => {
    const [app = '', other = ''] = images.references;
    const file = await list(`# for a node\n\n${app}   # the app\n  ${other}\r\n${app}\n`);
    const { code, out } = await pull('--file', file, other);
    expect(code).toBe(0);
    expect(out.match(/ linux\/amd64$/gm)).toHaveLength(2);
    expect(out.match(/^2 images /gm)).toHaveLength(1);
    const quiet = await pull('-q', '--file', file);
    expect(quiet.out).toMatch(/^(?:sha256:[0-9a-f]{64}\n){2}$/);
  });

  test('without images is no error', async () => {
    const file = await list('# nothing yet\n\n');
    expect(await pull('--file', file)).toMatchObject({ code: 0, out: '0 of 0 images pulled\n' });
    expect(await pull('-q', '--file', file)).toMatchObject({ code: 0, out: '' });
    expect(await pull('--output', 'json', '--file', file)).toMatchObject({ code: 0, out: '[]\n' });
  });

  test('has the exit code of the worst, and the others are pulled all the same', async () => {
    const [app = ''] = images.references;
    const gone = `127.0.0.1:1/team/gone:1`;
    const ended = await pull('--file', await list(`${gone}\nNot/An/Image\n${app}\n`));
    expect(ended.code).toBe(2);
    expect(ended.out).toMatch(/^1 of 3 images /m);
    const none = await pull('--file', await list(`${gone}\n`));
    expect([none.code, none.out]).toEqual([5, '0 of 1 image pulled\n']);
  });

  test('that cannot be read is refused, and so is a pull of nothing', async () => {
    const { code, err } = await pull('--file', join(work, 'none'));
    expect([code, err]).toEqual([
      2,
      expect.stringContaining(`the list ${join(work, 'none')} cannot be read (ENOENT)`),
    ]);
    expect(await pull()).toMatchObject({ code: 2, err: expect.stringContaining('--file') as string });
  });

  test('comes from standard input by -', async () => {
    const [app = ''] = images.references;
    const options = [
      '--root',
      join(work, 'piped'),
      '--plain-http',
      '--progress',
      'none',
      '--hosts-dir',
      '/nonexistent',
    ];
    const piped = await landfall([...options, 'pull', '-q', '--platform', 'linux/amd64', '--file', '-'], {
      input: `${app}\n`,
    });
    expect(piped).toMatchObject({ code: 0, stdout: expect.stringMatching(/^sha256:/) as string });
  });
});
