import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../commands/serve-lists.js';
import { SlowImages } from '../../support/slow-images.js';
import { traceFaults } from '../../support/trace-faults.js';

interface Trace {
  readonly otherData: Readonly<Record<string, string>>;
  readonly traceEvents: Parameters<typeof traceFaults>[0];
}

describe('pull --trace and --timeline', () => {
  let work: string;
  let images: SlowImages;
  let refuses = false;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-timeline-files-'));
    images = await SlowImages.start([{ name: 'team/app', layers: [20_000, 5000] }], {
      first: ({ line }) => (refuses && line.includes('/blobs/') ? { status: 403, body: 'no' } : undefined),
    });
  });
  afterAll(async () => {
    await images[Symbol.asyncDispose]();
    await rm(work, { recursive: true });
  });

  const pull = async (...args: string[]): Promise<Awaited<ReturnType<typeof run>>> =>
    await run(
      ...[
        '--root',
        await mkdtemp(join(work, 'store-')),
        '--snapshots',
        'native',
        '--hosts-dir',
        '/nonexistent',
      ],
      ...['--plain-http', 'pull', '--platform', 'linux/amd64', ...args],
    );
  const directory = async (): Promise<string> => await mkdtemp(join(work, 'files-'));

  it('write what happened, in place of what was there', async () => {
    const place = await directory();
    const [trace, picture] = [join(place, 'pull.json'), join(place, 'pull.svg')];
    await writeFile(trace, 'old');
    const { code, err } = await pull(...images.references, '--trace', trace, '--timeline', picture);
    expect(err).not.toContain('warning');
    expect(code).toBe(0);
    const { traceEvents, otherData } = JSON.parse(await readFile(trace, 'utf8')) as Trace;
    expect(traceFaults(traceEvents)).toEqual([]);
    expect(otherData['outcome']).toBe('done');
    const names = traceEvents.map(({ name }) => name);
    for (const name of ['resolve', 'download', 'unpack', 'commit', 'record', 'GET 200'])
      expect(names).toContain(name);
    expect(await readFile(picture, 'utf8')).toContain(`>${images.references[0] ?? ''}<`);
    expect((await readdir(place)).sort()).toEqual(['pull.json', 'pull.svg']);
  });

  it('write also how a pull failed', async () => {
    const place = await directory();
    const [trace, picture] = [join(place, 'pull.json'), join(place, 'pull.svg')];
    refuses = true;
    const { code } = await pull(...images.references, '--trace', trace, '--timeline', picture);
    refuses = false;
    expect(code).toBe(4);
    const { traceEvents, otherData } = JSON.parse(await readFile(trace, 'utf8')) as Trace;
    expect(traceFaults(traceEvents)).toEqual([]);
    expect(otherData['outcome']).toBe('failed');
    expect(otherData['error']).toContain('403');
    expect(await readFile(picture, 'utf8')).toMatch(/class="headline">Failed after /);
  });

  it('write also that nothing could begin', async () => {
    const picture = join(await directory(), 'pull.svg');
    const { code } = await pull('UPPER/CASE', '--timeline', picture);
    expect(code).toBe(2);
    expect(await readFile(picture, 'utf8')).toContain('>UPPER/CASE<');
  });

  it.each<[string, (place: string) => string[], number, RegExp]>([
    [
      'a directory that is not there',
      (place) => ['--trace', join(place, 'no/pull.json')],
      8,
      /no\/pull\.json could not be written/,
    ],
    ['a directory', (place) => ['--timeline', place], 2, /is a directory/],
    ['standard output', () => ['--trace', '-'], 2, /--trace takes the name of a file/],
    ['no name', () => ['--timeline', ''], 2, /--timeline takes the name of a file/],
    [
      'one file for both',
      (place) => ['--trace', join(place, 'a'), '--timeline', join(place, 'a')],
      2,
      /same file/,
    ],
  ])('refuse before anything is pulled: %s', async (_, args, code, said) => {
    const place = await directory();
    await mkdir(place, { recursive: true });
    const asked = images.registry.requests.length;
    const result = await pull(...images.references, ...args(place));
    expect(result.err).toMatch(said);
    expect(result.code).toBe(code);
    expect(images.registry.requests).toHaveLength(asked);
    expect(await readdir(place)).toEqual([]);
  });

  it('spoil no pull that cannot be told of in the end', async () => {
    const place = await directory();
    // A device that is full: it can be opened, and not be written to.
    const { code, err } = await pull(
      ...images.references,
      '--trace',
      '/dev/full',
      '--timeline',
      join(place, 'pull.svg'),
    );
    expect(code).toBe(0);
    expect(err).toMatch(/warning: \/dev\/full could not be written/);
    expect(await readdir(place)).toEqual(['pull.svg']);
  });
});
