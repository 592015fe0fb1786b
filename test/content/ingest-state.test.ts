import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import {
  readIngestState,
  removeStateTemporaries,
  trustedSpans,
  writeIngestState,
} from '../../src/content/store/ingest-directory.js';
import { scratchDirectory } from './scratch-root.js';

const state = { mediaType: 'application/octet-stream', size: 1000, startedAt: 1 };

describe('the state of a partial', () => {
  let scratch: Awaited<ReturnType<typeof scratchDirectory>>;
  beforeEach(async () => {
    scratch = await scratchDirectory();
  });
  afterEach(async () => scratch[Symbol.asyncDispose]());

  const put = (value: unknown): Promise<void> =>
    writeFile(join(scratch.path, 'state.json'), JSON.stringify(value));

  it.each([
    ['of bytes that came in order', { ...state, source: 'quay.io/a/b' }],
    // prettier-ignore
    ['of bytes that did not', { ...state, spans: [{ start: 0, end: 10 }, { start: 20, end: 30 }] }],
    ['of no bytes that are there for certain', { ...state, spans: [] }],
    [
      'of very many pieces',
      {
        ...state,
        spans: Array.from({ length: 1024 }, (_, i) => ({ start: i * 1e12 + 1, end: i * 1e12 + 2 })),
      },
    ],
  ])('is read as it was written, %s', async (_, value) => {
    await writeIngestState(scratch.path, value);
    expect(await readIngestState(scratch.path)).toEqual(value);
    expect(await readdir(scratch.path)).toEqual(['state.json']);
  });

  it('of an older program, which kept only the contiguous start, is understood', async () => {
    await put({ ...state, frontier: 300 });
    expect(await readIngestState(scratch.path)).toEqual({ ...state, spans: [{ start: 0, end: 300 }] });
    await put({ ...state, frontier: 0 });
    expect(trustedSpans(await readIngestState(scratch.path), 500, 1000)).toEqual([]);
  });

  it.each<[string, unknown]>([
    ['nothing', null],
    ['a list', []],
    ['no size', { ...state, size: undefined }],
    ['a negative size', { ...state, size: -1 }],
    ['a size that is text', { ...state, size: '1000' }],
    ['no media type', { ...state, mediaType: undefined }],
    ['no start', { ...state, startedAt: undefined }],
    ['a source that is a number', { ...state, source: 1 }],
    ['spans that are no list', { ...state, spans: 5 }],
    ['a span that is a number', { ...state, spans: [5] }],
    ['a span without an end', { ...state, spans: [{ start: 0 }] }],
    ['a span that ends before it starts', { ...state, spans: [{ start: 10, end: 5 }] }],
    ['a span that starts before 0', { ...state, spans: [{ start: -5, end: 5 }] }],
    ['half a byte', { ...state, spans: [{ start: 0, end: 0.5 }] }],
    ['a negative frontier', { ...state, frontier: -1 }],
    ['a frontier that is text', { ...state, frontier: '300' }],
  ])('is not believed when it says %s', async (_, value) => {
    await put(value);
    expect(await readIngestState(scratch.path)).toBeUndefined();
  });

  it('is not believed where there is none', async () => {
    expect(await readIngestState(scratch.path)).toBeUndefined();
    await writeFile(join(scratch.path, 'state.json'), '{"size":');
    expect(await readIngestState(scratch.path)).toBeUndefined();
  });

  it('stays as it was when a new one cannot be put in its place, and leaves nothing beside it', async () => {
    await mkdir(join(scratch.path, 'state.json', 'in-the-way'), { recursive: true });
    await expect(writeIngestState(scratch.path, state)).rejects.toThrow();
    expect(await readdir(scratch.path)).toEqual(['state.json']);
  });

  it('loses what a dead writer left beside it, and nothing else', async () => {
    await put(state);
    await writeFile(join(scratch.path, 'state.json.0c6b1e7e'), '{');
    await writeFile(join(scratch.path, 'data'), 'bytes');
    await removeStateTemporaries(scratch.path);
    expect((await readdir(scratch.path)).sort()).toEqual(['data', 'state.json']);
    expect(JSON.parse(await readFile(join(scratch.path, 'state.json'), 'utf8'))).toEqual(state);
  });
});

describe('what is trusted of a partial', () => {
  const spans = (...pairs: [number, number][]): { start: number; end: number }[] =>
    pairs.map(([start, end]) => ({ start, end }));

  it.each<[string, [number, number][] | undefined, number, [number, number][]]>([
    ['all of its file, where that was written in order', undefined, 300, [[0, 300]]],
    ['nothing of an empty file', undefined, 0, []],
    ['what its state names', [[0, 100], [200, 250]], 300, [[0, 100], [200, 250]]], // prettier-ignore
    // prettier-ignore
    ['only what the file reaches', [[0, 100], [200, 250], [260, 280]], 220, [[0, 100], [200, 220]]],
    ['nothing, where the file is lost', [[0, 100], [200, 250]], 0, []], // prettier-ignore
    // prettier-ignore
    ['in order and once, however it is named', [[200, 250], [0, 100], [50, 200]], 300, [[0, 250]]],
    ['nothing of what is larger than the blob', [[0, 100], [990, 1001]], 2000, []], // prettier-ignore
    ['nothing of a file that is larger than the blob', undefined, 1001, []],
    ['the whole', undefined, 1000, [[0, 1000]]],
  ])('is %s', (_, recorded, length, trusted) => {
    const known = { ...state, ...(recorded === undefined ? {} : { spans: spans(...recorded) }) };
    expect(trustedSpans(known, length, 1000)).toEqual(spans(...trusted));
  });

  it('is all or nothing without a state', () => {
    expect(trustedSpans(undefined, 300, 1000)).toEqual([]);
    expect(trustedSpans(undefined, 1001, 1000)).toEqual([]);
    expect(trustedSpans(undefined, 0, 0)).toEqual([]);
    // It came in one piece, or its digest tells.
    expect(trustedSpans(undefined, 1000, 1000)).toEqual(spans([0, 1000]));
  });
});
