import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { askTerminal } from '../../src/cli/images/ask-terminal.js';
import { failure } from '../support/registry-fixture.js';
import { CapturedStream } from './fake-surroundings.js';

/** A terminal that notes whether it is raw. */
class FakeTerminal extends PassThrough {
  readonly isTTY = true;
  readonly modes: boolean[] = [];

  setRawMode(on: boolean): this {
    this.modes.push(on);
    return this;
  }
}

interface Asked {
  readonly terminal: FakeTerminal;
  readonly stderr: CapturedStream;
  readonly abort: AbortController;
  readonly ask: (hidden?: boolean) => Promise<string>;
}

function asked(): Asked {
  const terminal = new FakeTerminal();
  const stderr = new CapturedStream();
  const abort = new AbortController();
  const context = { stdin: terminal, stderr, signal: abort.signal };
  return {
    terminal,
    stderr,
    abort,
    ask: (hidden = true) => askTerminal(context, 'Password for quay.io: ', { hidden }),
  };
}

describe('what is typed', () => {
  test.each([
    ['up to the return key', ['pass\r'], 'pass'],
    ['up to a line feed', ['pass\n'], 'pass'],
    ['key by key', ['p', 'a', 's', 's', '\r'], 'pass'],
    ['with blanks at its ends', [' pass \r'], ' pass '],
    ['with letters that come in halves', [Buffer.from([0xc3]), Buffer.from([0xb6]), '\r'], 'ö'],
    ['less what was erased', ['pasx\u007fs\r'], 'pass'],
    ['less a whole letter, however long', ['😀\u007f\u007fpass\b\r'], 'pas'],
    ['less a line that was erased', ['wrong\u0015pass\r'], 'pass'],
    ['up to Ctrl-D', ['pass\u0004'], 'pass'],
  ])('is taken %s', async (_, chunks, expected) => {
    const { terminal, stderr, ask } = asked();
    const answer = ask();
    for (const chunk of chunks) terminal.write(chunk);
    expect(await answer).toBe(expected);
    expect(stderr.text).toBe('Password for quay.io: \n');
    expect(terminal.modes).toEqual([true, false]);
    expect(terminal.isPaused()).toBe(true);
  });

  test('ahead is the answer to the next question', async () => {
    const { terminal, ask } = asked();
    terminal.write('pilot\r\npass\r');
    expect(await ask(false)).toBe('pilot');
    expect(terminal.modes).toEqual([]);
    expect(await ask()).toBe('pass');
  });

  test('ends where the terminal is closed', async () => {
    const { terminal, ask } = asked();
    terminal.end('pass');
    expect(await ask()).toBe('pass');
  });
});

describe('the terminal is as before when', () => {
  test.each([
    ['nothing is typed', '\r', 'INVALID_CONFIG'],
    ['it ends at once', '\u0004', 'INVALID_CONFIG'],
    ['Ctrl-C is typed', 'pa\u0003', 'ABORTED'],
    ['too much is typed', 'x'.repeat(70_000), 'INVALID_CONFIG'],
  ])('%s', async (_, typed, code) => {
    const { terminal, ask } = asked();
    const error = failure(ask());
    terminal.write(typed);
    expect((await error).code).toBe(code);
    expect(terminal.modes).toEqual([true, false]);
  });

  test('the command is stopped', async () => {
    const { terminal, abort, ask } = asked();
    const error = failure(ask());
    abort.abort();
    expect((await error).code).toBe('ABORTED');
    expect(terminal.modes).toEqual([true, false]);
    expect((await failure(ask())).code).toBe('ABORTED');
  });
});
