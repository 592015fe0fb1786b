import { describe, expect, it, vi } from 'vitest';
import type { ByteSpan } from '../../../src/content/index.js';
import type { IngestWriter } from '../../../src/content/index.js';
import { downloadBlob } from '../../../src/engine/pull/blob-download.js';
import { ContentError, RegistryError } from '../../../src/errors.js';
import { failure } from '../../support/registry-fixture.js';
import {
  type Answer,
  BATCH,
  content,
  FakeHost,
  FakeWriter,
  Help,
  MEBIBYTE,
  slowly,
} from './fake-download.js';

interface Setting {
  readonly host?: FakeHost;
  readonly writer?: FakeWriter;
  readonly help?: Help;
  readonly signal?: AbortSignal;
}

/** Downloads, with no pauses between attempts. */
async function downloaded({
  host = new FakeHost(),
  writer = new FakeWriter(),
  help,
  signal,
}: Setting): Promise<{
  host: FakeHost;
  writer: FakeWriter;
  bytes: number;
  retries: number;
}> {
  const random = vi.spyOn(Math, 'random').mockReturnValue(0);
  let bytes = 0;
  let retries = 0;
  try {
    await downloadBlob({
      fetcher: host,
      writer: writer as unknown as IngestWriter,
      ...(help === undefined ? {} : { extra: help }),
      signal,
      onBytes: (count) => (bytes += count),
      onRetry: () => (retries += 1),
    });
  } finally {
    random.mockRestore();
    expect(host.open).toBe(0);
  }
  expect(writer.missing()).toEqual([]);
  expect(writer.bytes.equals(content.subarray(0, writer.bytes.length))).toBe(true);
  return { host, writer, bytes, retries };
}

const never = new Promise(() => undefined);

const spans = (asked: readonly ByteSpan[]): number[][] => asked.map(({ start, end }) => [start, end]);

describe('a blob that one connection brings', () => {
  it('of no bytes costs no request', async () => {
    const { host } = await downloaded({ writer: new FakeWriter(0) });
    expect(host.asked).toEqual([]);
  });

  it('is asked for at once', async () => {
    const { host, bytes, retries } = await downloaded({});
    expect(spans(host.asked)).toEqual([[0, content.length]]);
    expect(bytes).toBe(content.length);
    expect(retries).toBe(0);
  });

  it('goes on where it broke off', async () => {
    const answers: Answer[] = [{ breaksAfter: 3 * MEBIBYTE }, { breaksAfter: 10 }, { breaksAfter: 0 }];
    const { host, bytes, retries } = await downloaded({
      host: new FakeHost((nth) => answers[nth - 1] ?? {}),
    });
    const starts = [0, 3 * MEBIBYTE, 3 * MEBIBYTE + 10, 3 * MEBIBYTE + 10];
    expect(spans(host.asked)).toEqual(starts.map((start) => [start, content.length]));
    expect(bytes).toBe(content.length);
    expect(retries).toBe(3);
  });

  it('is given up after five attempts that bring nothing, and not before', async () => {
    const host = new FakeHost((nth) => ({ breaksAfter: nth === 3 ? 1 : 0 }));
    expect(await failure(downloaded({ host }))).toMatchObject({ code: 'UNAVAILABLE' });
    expect(host.asked).toHaveLength(3 + 5);
  });

  it.each<[string, string, () => Error]>([
    ['the registry has it not', 'NOT_FOUND', () => new RegistryError('NOT_FOUND', 'not here')],
    ['it is longer than it should be', 'SIZE_MISMATCH', () => new ContentError('SIZE_MISMATCH', 'more')],
  ])('is not tried again where %s', async (_name, code, error) => {
    const host = new FakeHost(() => ({ breaksAfter: MEBIBYTE, error }));
    expect(await failure(downloaded({ host }))).toMatchObject({ code });
    expect(host.asked).toHaveLength(1);
  });

  it('is not tried again where it cannot be written', async () => {
    const writer = new FakeWriter();
    writer.fault = () => new ContentError('NO_SPACE', 'full');
    const host = new FakeHost();
    expect(await failure(downloaded({ host, writer }))).toMatchObject({ code: 'NO_SPACE' });
    expect(host.asked).toHaveLength(1);
  });

  it('ends with the abort, while it comes and while it pauses', async () => {
    for (const answer of [{ after: never }, { breaksAfter: 0 }]) {
      const abort = new AbortController();
      const host = new FakeHost(() => answer);
      const writer = new FakeWriter();
      const downloading = downloadBlob({
        fetcher: host,
        writer: writer as unknown as IngestWriter,
        signal: abort.signal,
        onBytes: () => setImmediate(() => abort.abort()),
        onRetry: () => setImmediate(() => abort.abort()),
      });
      expect((await failure(downloading)).code).toBe('ABORTED');
      expect(host.open).toBe(0);
    }
  });
});

describe('a blob that several connections bring', () => {
  it('comes in parts that follow one another, each byte once', async () => {
    const help = new Help((given) => {
      given.give('a');
      given.give('b');
    });
    const { host, bytes } = await downloaded({ host: new FakeHost(slowly), help });
    const [, ...parts] = host.asked;
    expect(parts.length).toBeGreaterThan(2);
    const ordered = [...parts].sort((a, b) => a.start - b.start);
    for (const [index, { end }] of ordered.entries())
      expect(end).toBeLessThanOrEqual(ordered[index + 1]?.start ?? content.length);
    // Beyond its part a connection reads no more than the batch that it is at.
    expect(bytes - content.length).toBeLessThan(host.asked.length * BATCH);
    expect(help).toMatchObject({ begun: expect.arrayContaining(['a', 'b']) as string[], isOver: true });
    expect([...help.ended].sort()).toEqual(['a', 'b']);
  });

  it('gives a connection back with its part where it may not stay', async () => {
    const help = new Help((given) => given.give('a', false));
    let askedByThen = 0;
    const gone: Promise<unknown> = help.gone.promise.then(() => (askedByThen = host.asked.length));
    const host: FakeHost = new FakeHost((nth) => (nth === 1 ? { after: gone } : {}));
    await downloaded({ host, help });
    expect(askedByThen).toBe(2);
    expect(help.ended).toEqual(['a']);
  });

  it('is brought by the first where the others fail, which are not asked for again', async () => {
    const help = new Help((given) => {
      expect(given.download?.worthHelp).toBe(true);
      given.give('a');
    });
    const host = new FakeHost((nth) => (nth === 2 ? { breaksAfter: 0 } : slowly()));
    const { bytes, retries } = await downloaded({ host, help });
    expect(bytes).toBe(content.length);
    // What failed there is nobody else's failure.
    expect(retries).toBe(0);
    expect(help).toMatchObject({ ended: ['a'] });
    expect(help.download?.worthHelp).toBe(false);
  });

  it('comes over one from a host that ignores ranges', async () => {
    const help = new Help((given) => given.give('a'));
    const host = new FakeHost((nth) => (nth === 1 ? slowly() : { ignoresRange: true }));
    const { bytes } = await downloaded({ host, help });
    expect(host.asked).toHaveLength(2);
    expect(bytes).toBe(content.length);
    expect(help).toMatchObject({ begun: [], ended: ['a'] });
    expect(help.download?.worthHelp).toBe(false);
  });

  it('fails when the first does, and leaves no connection open', async () => {
    const help = new Help((given) => given.give('a'));
    const error = (): Error => new RegistryError('DENIED', 'no more');
    const host = new FakeHost((nth) => (nth === 2 ? { after: never } : { breaksAfter: 2 * BATCH, error }));
    expect(await failure(downloaded({ host, help }))).toMatchObject({ code: 'DENIED' });
    expect(help).toMatchObject({ ended: ['a'], isOver: true });
  });

  it('ends with the abort, also where the first only waits for the others', async () => {
    const abort = new AbortController();
    const help = new Help((given) => given.give('a'));
    const host = new FakeHost((nth) => (nth === 2 ? { after: never } : {}));
    const writer = new FakeWriter();
    // One batch of its part has come of the other, and all else of the first.
    const isRest = (): boolean => spans(writer.missing()).join() === `${MEBIBYTE + BATCH},${2 * MEBIBYTE}`;
    const watch = setInterval(() => isRest() && abort.abort(), 1);
    const failed = await failure(downloaded({ host, writer, help, signal: abort.signal }));
    clearInterval(watch);
    expect(failed.code).toBe('ABORTED');
    expect(isRest()).toBe(true);
    expect(help).toMatchObject({ ended: ['a'], isOver: true });
  });

  it('comes again where another one seemed to write it, and could not', async () => {
    const writer = new FakeWriter(2 * MEBIBYTE);
    const write = writer.write.bind(writer);
    const lost = vi.spyOn(writer, 'write').mockResolvedValueOnce(undefined).mockImplementation(write);
    const { host } = await downloaded({ writer });
    expect(spans(host.asked)).toEqual([
      [0, 2 * MEBIBYTE],
      [0, BATCH],
    ]);
    expect(lost).toHaveBeenCalledTimes(9);
  });

  it('is no leak of listeners, however many they are', async () => {
    const warnings: string[] = [];
    const warned = (warning: Error): void => void warnings.push(warning.name);
    process.on('warning', warned);
    const help = new Help((given) => {
      for (let nth = 0; nth < 16; nth += 1) given.give(String(nth));
    });
    const { host } = await downloaded({ host: new FakeHost(slowly), help });
    await new Promise((resolve) => setImmediate(resolve));
    process.off('warning', warned);
    expect(host.asked.length).toBeGreaterThan(10);
    expect(warnings).toEqual([]);
  });
});
