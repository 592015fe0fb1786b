import { stripVTControlCharacters } from 'node:util';
import { describe, expect, test, vi } from 'vitest';
import type { CommandContext } from '../../../src/cli/output/command-context.js';
import { Log } from '../../../src/cli/output/log.js';
import { openProgressDisplay } from '../../../src/cli/progress/progress-display.js';
import { type ProgressMode, resolveSettings } from '../../../src/cli/config/settings.js';
import { CapturedStream, fakeSurroundings } from '../fake-surroundings.js';
import { blob, done, image, NAME, resolved, resolving, testLayers } from '../pull-events.js';

const TERMINAL = { isTTY: true, columns: 80, rows: 24 };

function contextOn(stderr: CapturedStream, progress: ProgressMode, env = {}): CommandContext {
  const surroundings = fakeSurroundings({ stderr, env });
  const settings = resolveSettings({ progress }, surroundings);
  const log = new Log('info', (text) => stderr.write(text));
  return { ...surroundings, settings, log, signal: new AbortController().signal };
}

const BARS = /\[\.+\]/;
const PLAIN = new RegExp(`^${NAME}: resolving$`, 'm');

describe('which display', () => {
  test.each<[string, ProgressMode, object, object, boolean, RegExp | undefined]>([
    ['auto on a terminal', 'auto', TERMINAL, {}, false, BARS],
    ['auto on a dumb terminal', 'auto', TERMINAL, { TERM: 'dumb' }, false, PLAIN],
    ['auto in a pipe', 'auto', {}, {}, false, PLAIN],
    ['auto where only the result is wanted', 'auto', TERMINAL, {}, true, undefined],
    ['plain on a terminal', 'plain', TERMINAL, {}, false, PLAIN],
    ['plain, asked for', 'plain', {}, {}, true, PLAIN],
    [
      'json',
      'json',
      TERMINAL,
      {},
      false,
      new RegExp(`^\\{"reference":"${NAME}","at":0,"type":"resolving"\\}$`, 'm'),
    ],
    ['none', 'none', TERMINAL, {}, false, undefined],
  ])('%s', async (_, mode, shape, env, quiet, expected) => {
    const stderr = new CapturedStream(shape);
    const display = await openProgressDisplay(contextOn(stderr, mode, env), { unpack: true, quiet });
    const layers = testLayers(1000);
    for (const event of [resolving(), resolved(), image(layers)]) display.show(event);
    display.finish();
    const shown = stripVTControlCharacters(stderr.text);
    if (expected === undefined) expect(shown).toBe('');
    else expect(shown).toMatch(expected);
  });
});

describe('bars', () => {
  test('lines of the log go above them, and the last frame stays', async () => {
    const stderr = new CapturedStream(TERMINAL);
    const context = contextOn(stderr, 'auto');
    const display = await openProgressDisplay(context, { unpack: false });
    const [layer] = testLayers(1000);
    if (layer === undefined) throw new Error('no layer');
    display.show(resolved());
    display.show(image([layer]));
    context.log.warn('mind the gap');
    display.show(blob(layer, 'done'));
    display.show(done(1000));
    display.finish();
    context.log.info('afterwards');
    const lines = stripVTControlCharacters(stderr.text).split('\n');
    const warning = lines.indexOf('landfall: warning: mind the gap');
    const last = lines.findIndex((line) => line.includes('done  1.0 kB downloaded'));
    expect(warning).toBeGreaterThanOrEqual(0);
    expect(last).toBeGreaterThan(warning);
    expect(lines.slice(-2)).toEqual(['landfall: afterwards', '']);
  });

  test('finishing twice is finishing once', async () => {
    const stderr = new CapturedStream(TERMINAL);
    const display = await openProgressDisplay(contextOn(stderr, 'auto'), { unpack: true });
    display.show(resolving());
    display.finish();
    const { text } = stderr;
    display.finish();
    expect(stderr.text).toBe(text);
  });
});

test('in a pipe a long download gives signs of life', async () => {
  vi.useFakeTimers();
  try {
    const stderr = new CapturedStream();
    const display = await openProgressDisplay(contextOn(stderr, 'plain'), { unpack: true });
    const [layer] = testLayers(100_000_000);
    if (layer === undefined) throw new Error('no layer');
    for (const event of [resolved(), image([layer]), blob(layer, 'downloading', 0)]) display.show(event);
    display.show(blob(layer, 'downloading', 20_000_000));
    const before = stderr.text;
    vi.advanceTimersByTime(10_000);
    display.finish();
    vi.advanceTimersByTime(60_000);
    expect(stderr.text.slice(before.length)).toBe(`${NAME}: 20/100 MB, 0 of 1 layer done, 2.0 MB/s\n`);
  } finally {
    vi.useRealTimers();
  }
});
