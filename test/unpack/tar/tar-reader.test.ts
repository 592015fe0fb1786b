import { pack } from 'tar-stream';
import { describe, expect, it } from 'vitest';
import { unpackLimits } from '../../../src/spec/index.js';
import { archive, directory, END, entry, file, header, symlink } from '../../support/tar-builder.js';
import { itRefuses, readArchive, type RefusedRow } from '../../support/tar-rows.js';

const LONG = `${'d'.repeat(90)}/${'e'.repeat(90)}/${'f'.repeat(90)}`;

const BAD: readonly RefusedRow[] = [
  {
    name: 'random bytes',
    bytes: Buffer.from(Array.from({ length: 2048 }, (_, i) => (i * 7919 + 13) % 251)),
    message: /not a tar archive/,
  },
  { name: 'a short text', bytes: Buffer.from('hello\n'), message: /not a tar archive/ },
  {
    name: 'a wrong checksum in the first header',
    bytes: archive(entry({ path: 'a', checksum: 'wrong' })),
    message: /not a tar archive/,
  },
  {
    name: 'a wrong checksum later',
    bytes: archive(file('a'), entry({ path: 'b', checksum: 'wrong' })),
    message: /checksum, at offset 512$/,
  },
  {
    name: 'a lone block of zeros',
    bytes: Buffer.concat([file('a'), Buffer.alloc(512), file('b'), END]),
    message: /lone block/,
  },
];

describe('TarReader', () => {
  itRefuses(BAD);

  it.each([
    { name: 'no bytes', bytes: Buffer.alloc(0), entries: 0 },
    { name: 'only the end', bytes: END, entries: 0 },
    { name: 'one block of zeros', bytes: Buffer.alloc(512), entries: 0 },
    { name: 'an end of many blocks', bytes: archive(file('a', 'x'), Buffer.alloc(10_000)), entries: 1 },
    { name: 'no end', bytes: file('a', 'x'), entries: 1 },
    { name: 'half an end', bytes: Buffer.concat([file('a', 'x'), Buffer.alloc(512)]), entries: 1 },
    {
      name: 'an end that is cut short',
      bytes: Buffer.concat([file('a', 'x'), Buffer.alloc(700)]),
      entries: 1,
    },
    {
      name: 'a last entry without padding',
      bytes: Buffer.concat([header({ path: 'a', size: 1 }), Buffer.from('x')]),
      entries: 1,
    },
    {
      name: 'something after the end',
      bytes: Buffer.concat([archive(file('a', 'x')), Buffer.from('garbage'), file('b')]),
      entries: 1,
    },
  ])('accepts $name', ({ bytes, entries }) => {
    for (const chunkBytes of [Math.max(1, bytes.length), 100])
      expect(readArchive(bytes, chunkBytes)).toHaveLength(entries);
  });

  it('accepts an archive cut at the end of an entry, and refuses it cut anywhere else', () => {
    const parts = [directory('d'), file('d/f', 'x'.repeat(700)), symlink(LONG, LONG), file('d/g', 'y')];
    const bytes = archive(...parts);
    const paddings = [0, 324, 0, 511];
    const accepted = new Set([0]);
    let end = 0;
    for (const [i, part] of parts.entries()) {
      end += part.length;
      for (let missing = 0; missing <= (paddings[i] ?? 0); missing++) accepted.add(end - missing);
    }
    for (let cut = 0; cut < end; cut++) {
      const attempt = (): unknown => readArchive(bytes.subarray(0, cut), Math.max(1, cut));
      if (accepted.has(cut)) expect(attempt, `cut at ${cut}`).not.toThrow();
      else expect(attempt, `cut at ${cut}`).toThrow(expect.objectContaining({ code: 'BAD_ARCHIVE' }));
    }
  });

  it('counts entries against the limit, extended headers not', () => {
    const bytes = archive(file(LONG), file(`${LONG}2`));
    expect(
      readArchive(bytes, bytes.length, unpackLimits({ entriesPerLayer: 2, layerBytes: 10 })),
    ).toHaveLength(2);
    expect(() =>
      readArchive(bytes, bytes.length, unpackLimits({ entriesPerLayer: 1, layerBytes: 10 })),
    ).toThrow(expect.objectContaining({ code: 'LIMIT_EXCEEDED' }));
  });

  it('names the entry in the error', () => {
    expect(() => readArchive(archive(entry({ path: 'caf\xc3\xa9', uid: -1 })))).toThrow(
      expect.objectContaining({ details: { entry: 'café' } }),
    );
  });

  it('reads what tar-stream writes', async () => {
    const writer = pack();
    writer.entry({ name: LONG, mode: 0o640, uid: 1, gid: 2, mtime: new Date(1e12) }, 'content');
    writer.entry({ name: 'link', type: 'symlink', linkname: LONG });
    writer.finalize();
    const chunks: Buffer[] = [];
    for await (const chunk of writer as AsyncIterable<Buffer>) chunks.push(chunk);
    const found = readArchive(Buffer.concat(chunks));
    expect(found).toMatchObject([
      { content: 'content', entry: { path: LONG, mode: 0o640, uid: 1, gid: 2, mtime: { seconds: 1e9 } } },
      { entry: { path: 'link', type: 'symlink', linkPath: LONG } },
    ]);
  });
});
