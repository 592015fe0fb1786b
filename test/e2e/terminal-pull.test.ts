/* eslint-disable no-control-regex -- it is about controls */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { needsPeer } from '../support/peers.js';
import { RecordedTerminal, type RecordedTerminalOptions } from '../support/recorded-terminal.js';
import { Screen } from '../support/screen.js';
import { type SlowImage, SlowImages } from '../support/slow-images.js';

const IMAGES: readonly SlowImage[] = [
  { name: 'team/app', layers: [400_000, 200_000, 60_000, 9_000] },
  { name: 'team/base', layers: [250_000] },
  { name: 'a-department-with-a-name/and-a-team/with-a-very-long-repository', layers: [90_000, 320_000] },
];
const LAYERS = IMAGES.flatMap(({ layers }) => layers).length;
const BYTES_PER_SECOND = 250_000;

describe.skipIf(needsPeer('tmux') !== undefined)('a pull of several images in a terminal', () => {
  let work: string;
  let images: SlowImages;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-terminal-pull-'));
    images = await SlowImages.start(IMAGES, { bytesPerSecond: BYTES_PER_SECOND });
  });
  afterAll(async () => {
    await images[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  const pull = async (
    options: RecordedTerminalOptions,
    { of = images, args = [] }: { of?: SlowImages; args?: readonly string[] } = {},
  ): Promise<RecordedTerminal> => {
    const root = await mkdtemp(join(work, 'store-'));
    const always = [
      '--plain-http',
      '--hosts-dir',
      '/nonexistent',
      '--platform',
      'linux/amd64',
      '--root',
      root,
    ];
    return await RecordedTerminal.run(['pull', ...always, ...args, ...of.references], {
      ...options,
      env: { HOME: '/nonexistent', LC_ALL: 'C.UTF-8', ...options.env },
    });
  };

  /** What the terminal was sent, shown by one that hides nothing. */
  const screenOf = async (terminal: RecordedTerminal, columns: number, rows = 24): Promise<Screen> => {
    const screen = new Screen(columns, rows);
    screen.feed(await terminal.recorded());
    return screen;
  };

  /**
   * What differs from one run to the next: the port, how long what took, the rate, which image was done
   * first, and the bytes, some of which come twice where a busy machine makes the client open a further
   * connection.
   */
  const settled = (text: string): string => {
    const lines = text
      .replaceAll(images.registry.address, 'localhost:50000')
      .replace(/^(….*):\d{5}\//gm, '$1:50000/')
      .replace(/\d+(\.\d)? (ms|s)\b/g, 'SPAN')
      .replace(/(, | {2})\d+(\.\d)? [kM]?B\/s/g, '')
      .replace(/\d+(\.\d)? [kM]B downloaded/g, 'SIZE downloaded')
      .replace(/[ \d.]{5} [kM]B(?=( {2}[0-9a-f]{12}.*)?$)/gm, ' SIZE')
      .replace(/longest {2}SPAN [^\n]*/g, 'longest  …');
    const blocks = lines.split(/\n(?! )/);
    const table = blocks.findIndex((block) => block.startsWith('IMAGE'));
    return [...blocks.slice(0, table - 1).sort(), ...blocks.slice(table - 1)].join('\n');
  };

  describe.each([60, 80, 200])('of %d columns', (columns) => {
    it('has whole frames, one in the place of the other, and then the summary', async () => {
      await using terminal = await pull({ columns });
      const { code, captures } = await terminal.ended();
      expect(code).toBe(0);
      const screen = await screenOf(terminal, columns);
      // The terminal of the test understands the bytes as tmux does.
      expect(await terminal.captureAll()).toBe(screen.text);
      expect(screen.frames.length).toBeGreaterThan(5);
      for (const { rows } of screen.frames) expectWholeFrame(rows, columns, images);
      for (const shown of captures) {
        for (const row of shown.split('\n')) expect(row.length).toBeLessThanOrEqual(columns);
      }
      const partial = /\[[█▒·]*▒+·+\]/;
      expect(screen.frames.some(({ rows }) => rows.some((row) => partial.test(row))) || columns < 80).toBe(
        true,
      );
      const final = screen.text.split('\n');
      for (const digest of digestsOf(images)) expect(layerRows(final, digest)).toHaveLength(1);
      expect(final.filter((row) => /(^|\/).*:1 +\d+ +0 +[\d.]+ [kM]B/.test(row))).toHaveLength(IMAGES.length);
      await expect(`${settled(screen.lines.join('\n'))}\n`).toMatchFileSnapshot(
        `../fixtures/terminal/pulled-${columns}.txt`,
      );
    });

    it('never flickers', async () => {
      await using terminal = await pull({ columns });
      await terminal.ended();
      const bytes = await terminal.recorded();
      const screen = await screenOf(terminal, columns);
      // One update, one pair of marks; the cursor goes once and comes back once.
      const counts = countEach(screen.sequences);
      expect(counts.get('\x1b[?2026h')).toBe(screen.frames.length);
      expect(counts.get('\x1b[?2026l')).toBe(screen.frames.length);
      expect([counts.get('\x1b[?25l'), counts.get('\x1b[?25h')]).toEqual([1, 1]);
      // Nothing is blanked before it is drawn: no row is erased from its beginning on, and never what is
      // below.
      expect(bytes).not.toMatch(/(^|[\r\n]|\x1b\[\d*[EF])\x1b\[\d*K/);
      expect(counts.has('\x1b[J')).toBe(false);
      expect(bytes).not.toMatch(/\x1b\[2J|\x1b\[H|\x1bc|\x1b\[2K/);
      // Of a row that stays as it is nothing is written again.
      for (const update of updatesOf(bytes)) {
        expect((update.match(/\x1b\[\d*[EF]/g) ?? []).length).toBeLessThanOrEqual(LAYERS + IMAGES.length + 3);
      }
      expect(await terminal.isCursorShown()).toBe(true);
    });
  });

  it('is interrupted: the last frame stays, the cursor comes back, and the exit code is that of the signal', async () => {
    const [trace, picture] = [join(work, 'interrupted.json'), join(work, 'interrupted.svg')];
    await using terminal = await pull({ columns: 80 }, { args: ['--trace', trace, '--timeline', picture] });
    await terminal.until((shown) => shown.includes('▒'));
    expect(await terminal.isCursorShown()).toBe(false);
    await terminal.press('C-c');
    const { code } = await terminal.ended();
    expect(code).toBe(130);
    expect(await terminal.isCursorShown()).toBe(true);
    const shown = await terminal.capture();
    for (const digest of digestsOf(images)) expect(layerRows(shown.split('\n'), digest)).toHaveLength(1);
    expect(shown).toContain('stopped');
    // What happened until then is told all the same.
    expect(JSON.parse(await readFile(trace, 'utf8'))).toMatchObject({
      otherData: { outcome: 'interrupted' },
    });
    expect(await readFile(picture, 'utf8')).toMatch(/class="headline">Interrupted after .* were spent /);
    expect(shown.split('\n').filter((row) => row.startsWith('landfall: '))).toHaveLength(1);
  });

  it.each([
    ['narrower', 120, 60],
    ['wider', 60, 120],
  ])('goes on when the window becomes %s', async (_, from, to) => {
    await using terminal = await pull({ columns: from });
    await terminal.until((shown) => layerRows(shown.split('\n'), digestsOf(images)[0] ?? '').length === 1);
    await terminal.resize(to, 30);
    const { code, captures } = await terminal.ended();
    expect(code).toBe(0);
    // A terminal that breaks lines may push the upper ones out of reach, into its history; what is to be seen
    // is right.
    for (const shown of captures.slice(1)) {
      const rows = shown.split('\n');
      for (const digest of digestsOf(images)) expect(layerRows(rows, digest).length).toBeLessThanOrEqual(1);
      for (const row of rows) expect(row.length).toBeLessThanOrEqual(to);
    }
    const done = (await terminal.captureAll()).split('\n').filter((row) => row.endsWith('  done'));
    for (const digest of digestsOf(images)) expect(layerRows(done, digest)).toHaveLength(1);
  });

  it('has no colours where NO_COLOR says so, and the same frames', async () => {
    await using terminal = await pull({ columns: 80, env: { NO_COLOR: '1' } });
    await terminal.ended();
    expect(await terminal.recorded()).not.toMatch(/\x1b\[[0-9;]*m/);
    const screen = await screenOf(terminal, 80);
    for (const { rows } of screen.frames) expectWholeFrame(rows, 80, images);
  });

  it('writes plain lines on a dumb terminal: no sequence at all', async () => {
    await using terminal = await pull({ columns: 80, env: { TERM: 'dumb' } });
    const { code } = await terminal.ended();
    expect(code).toBe(0);
    const bytes = await terminal.recorded();
    expect(bytes).not.toContain('\x1b');
    expect(bytes).toMatch(/team\/app:1: layer [0-9a-f]{12}: done\r\n/);
  });

  it('shows what there is room for of more layers than rows, and never scrolls', async () => {
    const many: readonly SlowImage[] = [
      { name: 'team/many', layers: Array.from({ length: 40 }, (_, n) => 20_000 + n * 500) },
    ];
    await using slow = await SlowImages.start(many, { bytesPerSecond: 100_000 });
    await using terminal = await pull({ columns: 80, rows: 16 }, { of: slow });
    const { code } = await terminal.ended();
    expect(code).toBe(0);
    const screen = await screenOf(terminal, 80, 16);
    for (const { rows, scrolled } of screen.frames) {
      expect(scrolled).toBe(0);
      expectWholeFrame(rows, 80, slow);
      expect(rows.filter((row) => row.startsWith('  and '))).toHaveLength(rows.length > 3 ? 1 : 0);
    }
  });

  it('puts a warning above the frames, once', async () => {
    await using terminal = await pull({ columns: 80 }, { args: ['--creds', 'me:secret'] });
    const { code } = await terminal.ended();
    expect(code).toBe(0);
    const screen = await screenOf(terminal, 80);
    const rows = screen.text.split('\n');
    expect(rows.filter((row) => row.includes('warning: '))).toHaveLength(1);
    for (const digest of digestsOf(images)) expect(layerRows(rows, digest)).toHaveLength(1);
  });
});

function digestsOf(images: SlowImages): string[] {
  return images.layouts.flatMap(({ manifests }) =>
    manifests.flatMap(({ layers }) => layers.map(({ digest }) => digest.slice(7, 19))),
  );
}

function layerRows(rows: readonly string[], digest: string): readonly string[] {
  return rows.filter((row) => row.startsWith(`  ${digest}  `));
}

const LAYER = /^ {2}[0-9a-f]{12} {2}(\[█*▒*·*\] {2,}[\d./]+ [kM]?B( {2,}[\d.]+ [kM]?B\/s)?)? *[a-z%\d, ]+$/;

/** Every image and layer once, no row torn, and none that touches the last column. */
function expectWholeFrame(rows: readonly string[], columns: number, images: SlowImages): void {
  for (const row of rows) {
    expect(stripVTControlCharacters(row).length).toBeLessThan(columns);
    if (/^ {2}[0-9a-f]{12}/.test(row)) expect(row).toMatch(LAYER);
    else if (row !== '') expect(row).toMatch(/^(…| {2}and |127\.0\.0\.1:|\d of \d images? {0,2}|landfall: )/);
  }
  for (const digest of digestsOf(images)) expect(layerRows(rows, digest).length).toBeLessThanOrEqual(1);
  const shown = digestsOf(images).filter((digest) => layerRows(rows, digest).length === 1);
  for (const layout of images.layouts) {
    const own = layout.manifests.flatMap(({ layers }) => layers.map(({ digest }) => digest.slice(7, 19)));
    const seen = own.filter((digest) => shown.includes(digest)).length;
    // All of an image's layers come at once; what there is no room for is counted.
    if (!rows.some((row) => row.startsWith('  and '))) expect([0, own.length]).toContain(seen);
  }
}

function countEach(items: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1);
  return counts;
}

function updatesOf(bytes: string): readonly string[] {
  return bytes.split('\x1b[?2026h').slice(1);
}
