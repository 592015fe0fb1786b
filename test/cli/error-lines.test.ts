import { describe, expect, test } from 'vitest';
import { CommandLine } from '../../src/cli/command-line.js';
import { main } from '../../src/cli/main.js';
import { renderError } from '../../src/cli/output/command-context.js';
import { ContentError, RegistryError } from '../../src/errors.js';
import { CapturedStream, FakeSignals, fakeSurroundings } from './fake-surroundings.js';

const LONG = `first line\r\n\tsecond line\u2028third ${'x'.repeat(10_000)}\n\n`;

/** What failed, perhaps why, what to do. */
function expectShape(lines: readonly string[]): void {
  expect(lines.length).toBeGreaterThanOrEqual(2);
  expect(lines.length).toBeLessThanOrEqual(3);
  expect(lines[0]).toMatch(/^landfall: \S/);
  expect(lines.at(-1)).toMatch(/^ {2}hint: \S/);
  for (const line of lines.slice(1, -1)) expect(line).toMatch(/^ {2}\S/);
}

function linesOf(text: string): string[] {
  expect(text.endsWith('\n')).toBe(true);
  return text.slice(0, -1).split('\n');
}

describe('an error has three lines at most', () => {
  test.each<[string, unknown]>([
    [
      'with a long message, cause and hint',
      new ContentError('FILESYSTEM', LONG, { cause: new Error(`why ${LONG}`), hint: LONG }),
    ],
    [
      'with causes of causes',
      new RegistryError('DENIED', 'a', { cause: new Error('b\nc', { cause: new Error('d\ne') }) }),
    ],
    [
      'with several errors for a cause',
      new RegistryError('UNAVAILABLE', 'a', {
        cause: new AggregateError([new Error('b'), new Error('c')], 'x\ny'),
      }),
    ],
    ['that nobody foresaw', new TypeError(LONG)],
    ['that is no error', LONG],
  ])('%s', (_, error) => {
    for (const color of [false, true]) {
      const lines = linesOf(renderError(error, { subject: 'quay.io/x:1\n', color }));
      if (!color) expectShape(lines);
      expect(lines.length).toBeLessThanOrEqual(3);
      for (const line of lines) expect(line.length).toBeLessThan(2100);
    }
  });

  test.each<[string, readonly string[], Record<string, string>]>([
    ['wrong usage', ['pull', '--platfrom=a\nb', 'x'], {}],
    ['an unknown command with its suggestion', ['pul\nl'], {}],
    ['a peer’s command', ['image', 'ls'], {}],
    ['an environment variable that is refused', ['images'], { LANDFALL_SNAPSHOTS: 'a\nb' }],
    ['a name that is none', ['inspect', 'A\nB', '--root', '/nonexistent/x'], {}],
    ['a configuration file that is not there', ['images', '--config', '/nonexistent\n/x'], {}],
  ])('%s', async (_, argv, env) => {
    const surroundings = fakeSurroundings({ env: { HOME: '/nonexistent', ...env } });
    expect(await main(argv, surroundings, new FakeSignals())).toBe(2);
    expectShape(linesOf(surroundings.stderr.text));
    expect(surroundings.stdout.text).toBe('');
  });

  test('each of several', async () => {
    const surroundings = fakeSurroundings({ env: { HOME: '/nonexistent' } });
    const names = ['docker://A', 'docker://B\nC', 'docker://:'];
    expect(await main(['delete', ...names], surroundings, new FakeSignals())).toBe(2);
    const errors = surroundings.stderr.text.split(/^(?=landfall: )/m);
    expect(errors).toHaveLength(names.length);
    for (const error of errors) expectShape(linesOf(error));
  });

  test('one that nobody caught', () => {
    const surroundings = fakeSurroundings();
    const line = new CommandLine(['serve'], surroundings, new AbortController().signal);
    expect(line.failed(new RangeError('a\nb'))).toBe(1);
    expectShape(linesOf(surroundings.stderr.text));
    expect(surroundings.stderr.text).toContain('internal error: a b');
  });
});

describe('colours', () => {
  const shown = async (env: Record<string, string>, isTTY: boolean): Promise<string> => {
    const stderr = new CapturedStream({ isTTY });
    await main(['nope'], fakeSurroundings({ stderr, env }), new FakeSignals());
    return stderr.text;
  };

  test('mark what failed and what to do on a terminal', async () => {
    const [first, last] = linesOf(await shown({ TERM: 'xterm' }, true));
    expect(first?.replaceAll('\u001b', '^')).toMatch(/^\^\[\S*landfall:\^\[\S* unknown command 'nope'$/);
    expect(last?.replaceAll('\u001b', '^')).toMatch(/^ {2}\^\[\S*hint:\^\[\S* \S/);
  });

  test.each<[string, Record<string, string>, boolean]>([
    ['with NO_COLOR', { NO_COLOR: '1' }, true],
    ['for a terminal that has none', { TERM: 'dumb' }, true],
    ['for a pipe', {}, false],
  ])('are left out %s', async (_, env, isTTY) => {
    expect(await shown(env, isTTY)).not.toContain('\u001b');
  });
});
