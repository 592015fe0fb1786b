import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import { type CommandResult, landfall } from '../support/landfall-command.js';
import {
  manifestReply,
  type Reply,
  ScriptedRegistry,
  type SeenRequest,
} from '../support/scripted-registry.js';
import { secret } from '../support/secrets.js';

const PASSWORD = secret('process-list-password');
const MANIFEST = '/v2/team/app/manifests/1';

interface Run extends CommandResult {
  /** Its arguments as other users of the machine could see them when each request came. */
  readonly seen: readonly string[];
  readonly shown: readonly (string | undefined)[];
}

/** Runs the built command against a registry that wants credentials. */
async function resolve(creds: readonly string[], input?: string): Promise<Run> {
  const seen: string[] = [];
  let pid: number | undefined;
  const reply = ({ headers }: SeenRequest): Reply => {
    seen.push(readFileSync(`/proc/${pid ?? 'unknown'}/cmdline`, 'latin1'));
    if (headers.authorization !== undefined) return manifestReply('{}');
    return { status: 401, headers: { 'www-authenticate': 'Basic realm="registry"' } };
  };
  await using registry = await ScriptedRegistry.start([{ on: `HEAD ${MANIFEST}`, times: 2, reply }]);
  const reference = `docker://${registry.address}/team/app:1`;
  const result = await landfall(
    ['resolve', '--plain-http', '--hosts-dir', '/nonexistent', ...creds, reference],
    {
      ...(input === undefined ? {} : { input }),
      onStart: (child) => {
        pid = child.pid;
      },
    },
  );
  return { ...result, seen, shown: registry.requests.map(({ headers }) => headers.authorization) };
}

describe('a password for a registry', () => {
  const basic = `Basic ${Buffer.from(`robot:${PASSWORD}`).toString('base64')}`;

  it.each<[name: string, creds: string[]]>([
    ['beside its option', ['--creds', `robot:${PASSWORD}`]],
    ['with its option', [`--creds=robot:${PASSWORD}`]],
  ])(
    'on the command line is gone from the list of processes before a registry is asked: %s',
    async (_name, creds) => {
      const { code, seen, shown, stderr } = await resolve(creds);
      expect({ code, shown }).toEqual({ code: 0, shown: [undefined, basic] });
      // What is left is the name alone.
      expect(seen.map((line) => line.replace(/\0+$/, ''))).toEqual(['landfall', 'landfall']);
      expect(stderr).toContain('landfall: warning: a password on the command line can be seen by others');
      expect(stderr).not.toContain(PASSWORD);
    },
  );

  it('from standard input is taken without a warning', async () => {
    const { code, seen, shown, stderr } = await resolve(['--creds', 'robot'], `${PASSWORD}\n`);
    expect({ code, shown, stderr }).toEqual({ code: 0, shown: [undefined, basic], stderr: '' });
    expect(seen.join()).not.toContain(PASSWORD);
  });
});
