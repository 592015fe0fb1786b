import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CommandResult } from '../support/landfall-command.js';
import { outputAt } from '../support/mount-namespace.js';
import { NodeNamespace } from '../support/node-namespace.js';
import { needsPeer } from '../support/peers.js';

const MAKE_DEB = resolve(import.meta.dirname, '../../dist/scripts/make-deb.js');

describe.skipIf(needsPeer('mmdebstrap') !== undefined)('the package for Debian, on a Debian', () => {
  let machine: NodeNamespace;
  let debian: string;
  beforeAll(async () => {
    machine = await NodeNamespace.start();
    debian = join(machine.directory, 'debian');
    const include = '--include=nodejs,ca-certificates';
    await outputAt(machine, 'mmdebstrap', '--quiet', '--variant=minbase', include, 'trixie', debian);
    for (const directory of ['proc', 'dev', 'sys'])
      await outputAt(machine, 'mount', '--rbind', `/${directory}`, join(debian, directory));
    await outputAt(machine, process.execPath, MAKE_DEB, join(debian, 'tmp'));
  });
  afterAll(() => machine[Symbol.asyncDispose]());

  const inside = (...command: readonly string[]): Promise<CommandResult> =>
    machine.run('chroot', [debian, ...command], { env: { PATH: '/usr/sbin:/usr/bin', HOME: '/root' } });
  const said = async (...command: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await inside(...command);
    expect(code, `${command.join(' ')}: ${stderr}`).toBe(0);
    return stdout;
  };

  it('is installed, serves as its unit says, and goes without its store', async () => {
    const [deb = ''] = (await readdir(machine.reach(join(debian, 'tmp')))).filter((name) =>
      name.endsWith('.deb'),
    );
    await said('dpkg', '--install', join('/tmp', deb));
    expect(await said('dpkg', '--verify', 'landfall')).toBe('');
    expect(await said('landfall', '--version')).toBe('landfall 0.1.0\n');
    const here = JSON.parse(await said('landfall', 'doctor', '--output', 'json')) as {
      capabilities: { name: string; available: boolean }[];
    };
    for (const name of ['SQLite', 'native calls', 'zstd'])
      expect(here.capabilities.find((each) => each.name === name)?.available, name).toBe(true);
    for (const file of [
      'man/man1/landfall-pull.1.gz',
      'bash-completion/completions/landfall',
      'doc/landfall/copyright',
    ])
      expect((await inside('test', '-s', join('/usr/share', file))).code, file).toBe(0);

    const unit = await said('cat', '/usr/lib/systemd/system/landfall.service');
    const enabled = '/etc/systemd/system/multi-user.target.wants/landfall.service';
    expect((await inside('test', '-L', enabled)).code).toBe(0);
    const [, start = ''] = /^ExecStart=(.*)$/m.exec(unit) ?? [];
    await said('mkdir', '-p', '/run/landfall', '/var/lib/landfall');
    const daemon = await machine.start('chroot', [debian, ...start.split(' ')], { until: /serving/ });
    try {
      expect(JSON.parse(await said('landfall', '--output', 'json', 'pulls'))).toMatchObject([]);
    } finally {
      await daemon.end();
    }
    await said('dpkg', '--purge', 'landfall');
    expect((await inside('test', '-L', enabled)).code).not.toBe(0);
    expect((await inside('test', '-e', '/usr/lib/landfall')).code).not.toBe(0);
    expect((await inside('test', '-e', '/usr/bin/landfall')).code).not.toBe(0);
    expect((await inside('test', '-e', '/var/lib/landfall/metadata.db')).code).toBe(0);
  });
});
