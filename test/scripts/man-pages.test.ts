import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EXIT_MEANINGS } from '../../scripts/manual-facts.js';
import { pageOf, renderManPage } from '../../scripts/render-man-page.js';
import { item, roffText } from '../../scripts/roff.js';
import { EXIT_CODES } from '../../src/cli/output/exit-codes.js';
import { createProgram } from '../../src/cli/program.js';
import { runCommand } from '../support/landfall-command.js';
import { needsPeer } from '../support/peers.js';

const program = createProgram(() => Promise.resolve());
const commands = [program, ...program.commands];

describe('roff', () => {
  it.each<[string, string, readonly string[]]>([
    ['options keep their dashes', 'a --b', ['a \\-\\-b']],
    ['what is typed is bold', 'see `a-b`', ['see \\fBa\\-b\\fP']],
    ['backslashes, quotes and tildes are shown', "\\n 'x' ~/y", ['\\en \\(aqx\\(aq \\(ti/y']],
    ['no line becomes a macro', '.so /etc/passwd', ['\\&.so /etc/passwd']],
    ['what is not ASCII is named', 'a…', ['a\\[u2026]']],
  ])('%s', (_, text, lines) => {
    expect(roffText(text)).toEqual(lines);
  });

  it('no line of a long description is a macro either', () => {
    expect(item('x', `${'word '.repeat(15)}.so x`).filter((line) => line.startsWith('.'))).toEqual(['.TP']);
  });
});

describe('the manual pages', () => {
  let work: string;
  const fileOf = (name: string): string => join(work, `${name}.1`);

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-man-'));
    for (const command of commands) await writeFile(fileOf(pageOf(command)), renderManPage(command, '1.2.3'));
  });
  afterAll(() => rm(work, { recursive: true, force: true }));

  it('are those that the package lists', async () => {
    const { man } = JSON.parse(await readFile('package.json', 'utf8')) as { readonly man: readonly string[] };
    expect([...man].sort()).toEqual(commands.map((command) => `dist/man/${pageOf(command)}.1`).sort());
  });

  it('tell of all that --help tells of', async () => {
    for (const command of commands) {
      const page = (await readFile(fileOf(pageOf(command)), 'utf8')).replaceAll('\\-', '-');
      for (const { long } of command.options) expect(page).toContain(`\\fB${long ?? ''}\\fP`);
      for (const title of [
        'NAME',
        'SYNOPSIS',
        'DESCRIPTION',
        'EXAMPLES',
        'OPTIONS',
        'EXIT STATUS',
        'SEE ALSO',
      ]) {
        expect(page).toMatch(new RegExp(`^\\.SH ".*${title}"$`, 'm'));
      }
    }
  });

  it('tell of exit codes, environment and files', async () => {
    const page = (await readFile(fileOf('landfall'), 'utf8')).replaceAll('\\-', '-');
    for (const code of new Set(Object.values(EXIT_CODES))) expect(page).toContain(`\\fB${code}\\fP`);
    expect(Object.keys(EXIT_MEANINGS)).toEqual(expect.arrayContaining(['0', '143']));
    for (const fact of [
      'LANDFALL_ROOT',
      'LANDFALL_CONFIG',
      'NO_COLOR',
      '/etc/landfall/config.toml',
      'XDG_CONFIG_HOME/landfall/config.toml',
    ]) {
      expect(page).toContain(fact);
    }
  });

  it.skipIf(needsPeer('mandoc') !== undefined)(
    'are faultless for mandoc, but for a date that none has',
    async () => {
      for (const command of commands) {
        const { stdout } = await runCommand('mandoc', ['-T', 'lint', fileOf(pageOf(command))], {});
        const said = stdout.split('\n').filter((line) => line !== '' && !line.includes('missing date'));
        expect(said).toEqual([]);
      }
    },
  );

  it.skipIf(needsPeer('man') !== undefined)('are faultless for groff, and readable', async () => {
    for (const command of commands) {
      const env = { MANWIDTH: '80' };
      const { stdout, stderr } = await runCommand('man', ['--warnings', '-l', fileOf(pageOf(command))], {
        env,
      });
      expect(stderr).toBe('');
      expect(stdout).toContain(`landfall${command.parent === null ? '' : ` ${command.name()}`} [options]`);
    }
  });
});
