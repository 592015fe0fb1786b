import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { inspect } from 'node:util';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { findSecrets } from './find-secrets.js';
import { type CommandResult, runCommand } from './landfall-command.js';
import { isRoot } from './needs-root.js';
import { secret } from './secrets.js';

const VALUE = `h4rbour "it's"/wörd?7>>>???`;
const REPOSITORY = resolve(import.meta.dirname, '../..');
const percent = encodeURIComponent(VALUE);

function found(text: string, value = VALUE): string[] {
  const records = [{ text, source: 'log', test: 'a.test.ts > shows' }];
  return findSecrets(records, [{ value, name: 'password of pilot', test: 'b.test.ts' }]);
}

describe('a secret is found', () => {
  const rows: [name: string, text: string, how: string][] = [
    ['as it is', `before ${VALUE} behind`, 'as it is'],
    ['at the end', VALUE, 'as it is'],
    ['in JSON', JSON.stringify({ VALUE }), 'as a quoted string'],
    ['in what Node shows of an object', inspect({ text: `\`${VALUE}` }), 'as a quoted string'],
    ['in a URL', `https://x.example/?sig=${percent}&x=1`, 'in a URI'],
    ['in a URL with small letters', `sig=${percent.toLowerCase()}`, 'in a URI'],
    ['in a form', new URLSearchParams({ password: VALUE, x: '1' }).toString(), 'in a URI'],
    ...['', ':', 'u:', 'us:', 'use:', 'user:'].flatMap((before): [string, string, string][] =>
      (['base64', 'base64url'] as const).map((coding) => [
        `in ${coding} behind "${before}"`,
        `Basic ${Buffer.from(`${before}${VALUE} behind`).toString(coding)}`,
        `in base64`,
      ]),
    ),
  ];
  it.each(rows)('%s', (_name, text, how) => {
    const lines = found(text);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(`password of pilot (of b.test.ts) is ${how}`);
    expect(lines[0]).toMatch(/ in the log at a\.test\.ts > shows$/);
    expect(lines.join()).not.toContain('h4rbour');
  });
});

it.each([
  ['nothing', ''],
  ['a part of it', VALUE.slice(0, -1)],
  ['other letters', VALUE.toUpperCase()],
])('a secret is not found in %s', (_name, text) => {
  expect(found(text)).toEqual([]);
});

it('what is too short to be told from anything else is no secret', () => {
  expect(() => secret('short')).toThrow('fewer than 6 characters');
});

describe('a test run', () => {
  let directory = '';
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-run-'));
    await symlink(join(REPOSITORY, 'node_modules'), join(directory, 'node_modules'));
    const setup = join(REPOSITORY, 'test/support/search-for-secrets.ts');
    await writeFile(
      join(directory, 'vitest.config.mjs'),
      `import base from ${JSON.stringify(join(REPOSITORY, 'vitest.config.ts'))};
       const changed = { projects: undefined, globalSetup: [${JSON.stringify(setup)}], reporters: ['dot'] };
       export default { test: { ...base.test, ...changed, include: ['*.test.ts'] } };`,
    );
  });
  afterAll(async () => {
    await rm(directory, { recursive: true });
  });

  /** Runs one test with this body in a run of its own. */
  async function run(body: string): Promise<CommandResult> {
    await writeFile(
      join(directory, 'inner.test.ts'),
      `import { expect, it } from 'vitest';
       import { record, secret } from ${JSON.stringify(join(REPOSITORY, 'test/support/secrets.ts'))};
       import { landfall } from ${JSON.stringify(join(REPOSITORY, 'test/support/landfall-command.ts'))};
       import { failure, fastClient } from ${JSON.stringify(join(REPOSITORY, 'test/support/registry-fixture.ts'))};
       import { RegistryError } from ${JSON.stringify(join(REPOSITORY, 'src/errors.ts'))};
       it('speaks', async () => { ${body} });`,
    );
    const vitest = join(directory, 'node_modules/vitest/vitest.mjs');
    const config = join(directory, 'vitest.config.mjs');
    return await runCommand(process.execPath, [vitest, 'run', '--config', config], { cwd: directory });
  }

  const leaks: [name: string, body: string, source: string][] = [
    ['in what was recorded', `record('log', 'x' + secret('h4rbour-7', 'the password'));`, 'log'],
    [
      'in what the command says',
      `await landfall(['rmi', '--' + secret('h4rbour-7', 'the password')]);`,
      'standard error of landfall',
    ],
    [
      'in the cause of an error',
      `const cause = new Error('of ' + secret('h4rbour-7', 'the password'));
       await failure(Promise.reject(new RegistryError('DENIED', 'denied', { cause })));`,
      'error',
    ],
    ['in what a test prints', `console.log(secret('h4rbour-7', 'the password'));`, 'stdout of a test'],
    [
      'at the end of what is too long to be kept',
      `record('log', 'x'.repeat(3_000_000) + secret('h4rbour-7', 'the password'));`,
      'log',
    ],
  ];
  if (isRoot) {
    leaks.push([
      'while the test is another user',
      `record('log', 'as root'); process.seteuid(65534);
       record('log', 'x' + secret('h4rbour-7', 'the password')); process.seteuid(0);`,
      'log',
    ]);
  }
  it.each(leaks)('fails where a secret is told %s', async (_name, body, source) => {
    const { code, stdout, stderr } = await run(body);
    expect(stderr).toContain(
      `secrets were told:\n  the password (of inner.test.ts) is as it is in the ${source} at inner.test.ts > speaks`,
    );
    expect(stdout).toContain('1 passed');
    expect(code).toBe(1);
  });

  it('names a secret that has no name by the line that made it', async () => {
    const { stderr } = await run(`record('log', secret('h4rbour-7'));`);
    expect(stderr).toMatch(
      / {2}the secret of inner\.test\.ts:\d+ \(of inner\.test\.ts\) is as it is in the log/,
    );
    expect(stderr).not.toContain('h4rbour');
  });

  it('passes where none is told', async () => {
    const { code, stderr } = await run(`secret('h4rbour-7'); record('log', 'h4rbour 7');`);
    expect(stderr).not.toContain('secrets were told');
    expect(code).toBe(0);
  });
});
