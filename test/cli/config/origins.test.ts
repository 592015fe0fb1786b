import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

import { secret } from '../../support/secrets.js';
import { serveLists } from '../commands/serve-lists.js';
import { Configured } from './configured.js';

describe('doctor says who has chosen the policy', () => {
  const named = 'policy = "~/policy.json"';
  test.each<[string, { system?: string; user?: string }, string[], Record<string, string>, string]>([
    ["the system's file", { system: named }, [], {}, 'system'],
    ["the user's file", { system: named, user: named }, [], {}, 'user'],
    ['a variable', { user: named }, [], { LANDFALL_POLICY: 'HOME/policy.json' }, 'environment'],
    ['an option', { user: named }, ['--policy', 'HOME/policy.json'], {}, 'option'],
    ['a file that an option names', {}, ['--config', 'HOME/named.toml'], {}, 'option'],
  ])('%s', async (_, files, argv, env, origin) => {
    await using configured = await Configured.make(files);
    const policy = join(configured.home, 'policy.json');
    await writeFile(policy, '{"default":[{"type":"insecureAcceptAnything"}]}');
    await writeFile(join(configured.home, 'named.toml'), named);
    const at = (text: string): string => text.replace('HOME', configured.home);
    const { out } = await configured.run(
      ['doctor', '--root', configured.home, '--output', 'json', ...argv.map(at)],
      Object.fromEntries(Object.entries(env).map(([name, value]) => [name, at(value)])),
    );
    expect(JSON.parse(out)).toMatchObject({ signaturePolicy: { file: policy, origin, asks: 'nothing' } });
  });
});

describe('a password', () => {
  const password = secret('config-origins');
  const warning = /a password on the command line can be seen by others/;

  test('of the environment is seen by nobody, so there is no warning', async () => {
    await using lists = await serveLists();
    await using configured = await Configured.make();
    const argv = ['resolve', '--plain-http', `${lists.host}/docker.io/team/app:1`];
    const typed = await configured.run([...argv, '--creds', `robot:${password}`]);
    expect(typed.err).toMatch(warning);
    const given = await configured.run(argv, { LANDFALL_CREDS: `robot:${password}` });
    expect(given.err).not.toMatch(warning);
    expect(given.code).toBe(typed.code);
  });

  test('is taken for one registry only, and it is told where it comes from', async () => {
    await using configured = await Configured.make();
    const argv = ['pull', 'a.example/x', 'b.example/x', '--root', join(configured.home, 'store')];
    const { code, err } = await configured.run(argv, { LANDFALL_CREDS: `robot:${password}` });
    expect(code).toBe(2);
    expect(err.split('\n')[0]).toBe(
      'landfall: --creds is for one registry, not for a.example and b.example (--creds comes from $LANDFALL_CREDS)',
    );
  });
});
