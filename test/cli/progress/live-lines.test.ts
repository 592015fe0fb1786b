import { EventEmitter } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { LiveLines } from '../../../src/cli/progress/live-lines.js';
import { Screen } from '../../support/screen.js';

/** A terminal that shows what it is sent, and what that was. */
class FakeTerminal extends EventEmitter {
  readonly isTTY = true;
  columns: number;
  rows: number;
  readonly screen: Screen;
  readonly writes: string[] = [];

  constructor(columns = 20, rows = 10) {
    super();
    this.columns = columns;
    this.rows = rows;
    this.screen = new Screen(columns, rows);
  }

  /** Its driver makes two controls of a line feed. */
  write(text: string | Uint8Array): boolean {
    this.writes.push(String(text));
    this.screen.feed(String(text).replaceAll('\n', '\r\n'));
    return true;
  }

  get shown(): string[] {
    return this.screen.text.split('\n');
  }
}

const drawn: LiveLines[] = [];
afterEach(() => {
  for (const lines of drawn.splice(0)) lines.close();
});

function drawnOn(terminal: FakeTerminal, ...frames: readonly (readonly string[])[]): LiveLines {
  const lines = new LiveLines(terminal);
  drawn.push(lines);
  for (const frame of frames) lines.draw(frame);
  return lines;
}

describe('lines that are drawn anew', () => {
  it.each<[string, string[][]]>([
    [
      'the same ones',
      [
        ['a', 'b'],
        ['a', 'b'],
      ],
    ],
    [
      'others',
      [
        ['a', 'b'],
        ['c', 'd'],
      ],
    ],
    [
      'shorter ones',
      [
        ['aaaaaa', 'bbbbbb'],
        ['a', 'b'],
      ],
    ],
    ['more of them', [['a'], ['a', 'b', 'c']]],
    ['fewer of them', [['a', 'b', 'c'], ['a']]],
    ['fewer and others', [['a', 'b', 'c'], ['x', 'y'], ['z']]],
    ['none, and again some', [['a', 'b'], [], ['c', 'd', 'e']]],
    [
      'some in the middle',
      [
        ['a', 'b', 'c', 'd'],
        ['a', 'B', 'c', 'D'],
        ['a', 'B', 'C', 'D'],
      ],
    ],
  ])('are the last: %s', (_, frames) => {
    const terminal = new FakeTerminal();
    drawnOn(terminal, ...frames);
    expect(terminal.shown).toEqual(frames.at(-1));
  });

  it('are written only where they changed', () => {
    const terminal = new FakeTerminal();
    const lines = drawnOn(terminal, ['a', 'b', 'c']);
    terminal.writes.length = 0;
    lines.draw(['a', 'B', 'c']);
    expect(terminal.writes.join('')).toBe('\x1b[?2026h\x1b[2FB\x1b[K\n\x1b[1E\x1b[?2026l');
    lines.draw(['a', 'B', 'c']);
    expect(terminal.writes).toHaveLength(1);
  });

  it('stay below what is put above them', () => {
    const terminal = new FakeTerminal();
    const lines = drawnOn(terminal, ['a', 'b']);
    lines.above('one\n');
    lines.above('two\nthree');
    lines.draw(['A', 'b']);
    expect(terminal.shown).toEqual(['one', 'two', 'three', 'A', 'b']);
  });

  it.each(['x'.repeat(19), 'x'.repeat(20), 'x'.repeat(21), 'x'.repeat(40), 'x'.repeat(55), ''])(
    'stay below a text of any length: %s',
    (text) => {
      const terminal = new FakeTerminal();
      const lines = drawnOn(terminal, ['before it', 'and more']);
      lines.above(text);
      lines.draw(['a', 'b']);
      expect(terminal.screen.lines).toEqual([text, 'a', 'b']);
    },
  );

  it('stay at the end of a screen that is full', () => {
    const terminal = new FakeTerminal(20, 5);
    const lines = drawnOn(terminal, ['a', 'b', 'c']);
    for (let n = 0; n < 8; n++) lines.above(`line ${n}`);
    lines.draw(['A', 'b', 'C']);
    expect(terminal.shown.slice(-5)).toEqual(['line 6', 'line 7', 'A', 'b', 'C']);
    expect(terminal.shown).toHaveLength(11);
  });

  it('go, and leave nothing', () => {
    const terminal = new FakeTerminal();
    const lines = drawnOn(terminal, ['a', 'b']);
    lines.clear();
    lines.above('kept');
    expect(terminal.shown).toEqual(['kept']);
  });

  it('take the rows into which a narrower terminal has broken them', () => {
    const terminal = new FakeTerminal(20);
    const lines = drawnOn(terminal, ['x'.repeat(19), '\x1b[32m1234567890\x1b[39m', '']);
    terminal.columns = 10;
    terminal.writes.length = 0;
    lines.draw(['a']);
    // Two rows, one that is just full, and an empty one.
    expect(terminal.writes.join('')).toContain('\x1b[4F');
  });

  it('are drawn at once when the terminal has another size, until they are closed', () => {
    const terminal = new FakeTerminal();
    let count = 0;
    const lines = new LiveLines(terminal, { onResize: () => (count += 1) });
    terminal.emit('resize');
    lines.draw(['a']);
    terminal.emit('resize');
    lines.close();
    terminal.emit('resize');
    expect(count).toBe(1);
  });
});

describe('the cursor', () => {
  it('is hidden once, and comes back once', () => {
    const terminal = new FakeTerminal();
    const lines = drawnOn(terminal, ['a'], ['b'], ['c']);
    expect(terminal.screen.isCursorShown).toBe(false);
    lines.close();
    lines.close();
    expect(terminal.screen.isCursorShown).toBe(true);
    expect(terminal.writes.filter((text) => text.includes('\x1b[?25'))).toHaveLength(2);
  });

  it('is left alone where nothing was drawn', () => {
    const terminal = new FakeTerminal();
    new LiveLines(terminal).close();
    expect(terminal.writes).toEqual([]);
  });

  it('comes back when the process ends before', () => {
    const before = process.listenerCount('exit');
    const lines = drawnOn(new FakeTerminal(), ['a']);
    expect(process.listenerCount('exit')).toBe(before + 1);
    lines.close();
    expect(process.listenerCount('exit')).toBe(before);
  });
});
