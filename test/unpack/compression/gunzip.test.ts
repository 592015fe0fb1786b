import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { createInflater, type Inflater, type InflateLibrary } from '../../../src/system/index.js';
import { gunzip, gunzipByStream } from '../../../src/unpack/compression/gunzip.js';
import { type Gunzip, gunzipSuite, inflated } from '../../suites/gunzip.js';
import { INCOMPLETE_CODES } from '../../suites/gzip-rows.js';
import { chunksOf } from '../../support/chunks-of.js';
import { needsPeer } from '../../support/peers.js';

const withoutIsal = needsPeer('igzip') !== undefined;

const by =
  (library: InflateLibrary, overlap?: () => boolean): Gunzip =>
  (source) =>
    gunzip(source, createInflater(library), { overlap });

gunzipSuite("Node's stream", gunzipByStream);
gunzipSuite('zlib', by('zlib'));
gunzipSuite(
  'zlib in another thread',
  by('zlib', () => true),
);
describe.skipIf(withoutIsal)('with ISA-L', () => {
  gunzipSuite('ISA-L', by('isa-l'));
  gunzipSuite(
    'ISA-L in another thread',
    by('isa-l', () => true),
  );

  it.each(INCOMPLETE_CODES)(
    'reads incomplete codes of $name, which zlib refuses',
    async ({ bytes, text = '' }) => {
      expect((await inflated(by('isa-l'), chunksOf(bytes, 1000))).toString()).toBe(text);
      await expect(inflated(by('zlib'), chunksOf(bytes, 1000))).rejects.toMatchObject({
        code: 'BAD_ARCHIVE',
      });
    },
  );
});

describe.each<InflateLibrary>(withoutIsal ? ['zlib'] : ['zlib', 'isa-l'])(
  'many small members, by %s',
  (library) => {
    const members = (content: string, count: number): Buffer =>
      Buffer.concat(Array.from({ length: count }, () => gzipSync(content)));

    it.each(['', 'x', 'y'.repeat(511)])('are refused where each has %j', async (content) => {
      const bytes = Buffer.concat([members(content, 10_001), gzipSync('end')]);
      await expect(inflated(by(library), chunksOf(bytes, 100_000))).rejects.toMatchObject({
        code: 'BAD_ARCHIVE',
        message: expect.stringContaining('members of next to nothing') as string,
      });
    });

    it('are read up to a number, and any number of larger ones', async () => {
      const small = await inflated(by(library), chunksOf(members('x', 10_000), 100_000));
      expect(small.length).toBe(10_000);
      const large = await inflated(by(library), chunksOf(members('y'.repeat(512), 11_000), 100_000));
      expect(large.length).toBe(11_000 * 512);
    });
  },
);

it.skipIf(withoutIsal).each([0, 1, 2, 3])('all read what igzip writes at level %i', async (level) => {
  const content = Buffer.concat(
    Array.from({ length: 300 }, (_, i) => Buffer.alloc(3000, `${i * i} lines, `)),
  );
  const bytes = execFileSync('igzip', [`-${level}`, '-c'], { input: content, maxBuffer: 1 << 24 });
  for (const way of [by('zlib'), by('isa-l'), gunzipByStream])
    expect((await inflated(way, chunksOf(bytes, 10_000))).equals(content)).toBe(true);
});

/**
 * How many MiB a process grows by while it inflates 4,000 files, half of which it leaves in the middle. With
 * a window each holds 40 KiB outside of JavaScript's heap while it is read.
 */
function growthOf(library: InflateLibrary): number {
  const code = `
    import { gzipSync } from 'node:zlib';
    const { createInflater } = await import(${JSON.stringify(moduleUrl('system/index.js'))});
    const { gunzip } = await import(${JSON.stringify(moduleUrl('unpack/compression/gunzip.js'))});
    const bytes = gzipSync(Buffer.alloc(300_000, 'some text'));
    const read = async () => {
      const overlap = () => true;
      const chunks = gunzip((async function* () { yield bytes; })(), createInflater(${JSON.stringify(library)}), { overlap });
      for await (const chunk of chunks) if (leave) break;
    };
    let leave = false;
    const many = async (times) => {
      for (let i = 0; i < times; i++) {
        leave = !leave;
        await read();
        if (i % 100 === 0) gc();
      }
      gc();
      return process.memoryUsage.rss();
    };
    const before = await many(500);
    console.log(Math.round(((await many(4000)) - before) / 2 ** 20));`;
  const args = ['--expose-gc', '--input-type=module', '-e', code];
  return Number(execFileSync(process.execPath, args, { encoding: 'utf8' }));
}

function moduleUrl(path: string): string {
  return pathToFileURL(join(import.meta.dirname, '../../../dist/src', path)).href;
}

it.each(withoutIsal ? (['zlib'] as const) : (['zlib', 'isa-l'] as const))(
  '%s gives its memory back',
  (library) => {
    expect(growthOf(library)).toBeLessThan(80);
  },
);

/** An inflater that does what it is told, and keeps a record. */
class ScriptedInflater implements Inflater {
  readonly calls: string[] = [];
  #open: (() => void) | undefined;

  begin(): void {
    this.calls.push('begin');
  }

  step(input: Buffer, output: Buffer): { consumed: number; produced: number; ended: boolean } {
    this.calls.push('step');
    return { consumed: Math.min(1, input.length), produced: output.length, ended: false };
  }

  async stepAsync(
    input: Buffer,
    output: Buffer,
  ): Promise<{ consumed: number; produced: number; ended: boolean }> {
    this.calls.push('stepAsync');
    await new Promise<void>((resolve) => (this.#open = resolve));
    this.calls.push('stepped');
    return { consumed: Math.min(1, input.length), produced: output.length, ended: false };
  }

  finishStep(): void {
    this.#open?.();
  }

  close(): void {
    this.calls.push('close');
  }
}

describe('gunzip over an inflater', () => {
  it('asks before each chunk whether the next is to be inflated meanwhile', async () => {
    const inflater = new ScriptedInflater();
    const answers = [false, true, false];
    const chunks = gunzip(chunksOf(gzipSync('some bytes'), 1000), inflater, {
      overlap: () => answers.shift() ?? false,
    });
    const first = (await chunks.next()).value as Buffer;
    const again = (await chunks.next()).value as Buffer;
    expect(again.buffer).toBe(first.buffer);
    expect(inflater.calls).toEqual(['begin', 'step', 'step', 'stepAsync']);
    inflater.finishStep();
    const other = (await chunks.next()).value as Buffer;
    expect(other.buffer).not.toBe(first.buffer);
    await chunks.next();
    expect(inflater.calls).toEqual(['begin', 'step', 'step', 'stepAsync', 'stepped', 'step']);
    await chunks.return();
  });

  it('closes the inflater only when no step runs any more', async () => {
    const inflater = new ScriptedInflater();
    const chunks = gunzip(chunksOf(gzipSync('some bytes'), 1000), inflater, { overlap: () => true });
    await chunks.next();
    const left = chunks.return();
    await new Promise((resolve) => setImmediate(resolve));
    expect(inflater.calls).toEqual(['begin', 'step', 'stepAsync']);
    inflater.finishStep();
    await left;
    expect(inflater.calls).toEqual(['begin', 'step', 'stepAsync', 'stepped', 'close']);
  });

  it('closes the inflater when it fails', async () => {
    const inflater = new ScriptedInflater();
    const reading = inflated(
      (source) => gunzip(source, inflater),
      chunksOf(Buffer.from([0x1f, 0x8b, 9, 0]), 1000),
    );
    await expect(reading).rejects.toMatchObject({ code: 'BAD_ARCHIVE' });
    expect(inflater.calls).toEqual(['close']);
  });

  it('does not go on for ever where a library does nothing', async () => {
    const inflater = new ScriptedInflater();
    inflater.step = () => ({ consumed: 0, produced: 0, ended: false });
    const reading = inflated((source) => gunzip(source, inflater), chunksOf(gzipSync('some bytes'), 1000));
    await expect(reading).rejects.toMatchObject({ code: 'BAD_ARCHIVE', message: /leads nowhere/ });
  });
});
