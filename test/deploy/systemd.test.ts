import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DAEMON_AUTH_FILE } from '../../src/daemon/index.js';
import { runCommand } from '../support/landfall-command.js';
import { needsPeer } from '../support/peers.js';

const UNIT = resolve(import.meta.dirname, '../../deploy/systemd/landfall.service');
const PROGRAM = '/usr/bin/landfall';

describe('the service of systemd', () => {
  let work: string;
  let text: string;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-systemd-'));
    text = await readFile(UNIT, 'utf8');
  });
  afterAll(() => rm(work, { recursive: true, force: true }));

  /** What systemd says of a unit. Its program need not be installed here, so one that is stands for it. */
  const verify = async (unit: string): Promise<{ code: number | undefined; said: string }> => {
    const path = join(work, 'landfall.service');
    await writeFile(path, unit.replace(PROGRAM, process.execPath));
    const { code, stdout, stderr } = await runCommand('systemd-analyze', ['verify', '--man=no', path], {});
    return { code, said: `${stdout}${stderr}` };
  };

  describe.skipIf(needsPeer('systemd-analyze') !== undefined)('by systemd-analyze', () => {
    it('has nothing that systemd does not know', async () => {
      expect(await verify(text)).toEqual({ code: 0, said: '' });
    });

    it.each(['landfall-gc.service', 'landfall-gc.timer'])('knows all of %s', async (name) => {
      const unit = await readFile(join(UNIT, '..', name), 'utf8');
      const path = join(work, name);
      await writeFile(path, unit.replace(PROGRAM, process.execPath));
      // A timer is looked at together with its service.
      const { code, stdout, stderr } = await runCommand('systemd-analyze', ['verify', '--man=no', path], {});
      expect({ code, said: `${stdout}${stderr}` }).toEqual({ code: 0, said: '' });
    });

    it('leaves the service little', async () => {
      const analyze = ['security', '--offline=true', '--no-pager', UNIT];
      const { stdout } = await runCommand('systemd-analyze', analyze, {});
      const [, exposure = ''] = /exposure level for landfall\.service: ([\d.]+)/.exec(stdout) ?? [];
      expect(Number(exposure)).toBeGreaterThan(0);
      expect(Number(exposure)).toBeLessThan(3);
    });

    it.each<[string, string, string]>([
      ['a key that there is none of', 'KillMode=mixed', 'KilMode=mixed'],
      ['a value that a key does not take', 'Type=notify', 'Type=notifies'],
      ['a program that is not there', `ExecStart=${PROGRAM}`, 'ExecStart=/nonexistent/landfall'],
    ])('would be found to have %s', async (_, right, wrong) => {
      expect(text).toContain(right);
      const { said } = await verify(text.replace(right, wrong));
      expect(said).toContain('landfall.service');
    });
  });

  it('has the credentials that login keeps for the daemon, and needs none', () => {
    expect(text).toContain(`\nLoadCredential=auth.json:${DAEMON_AUTH_FILE}\n`);
    // Without a default a file that is not there would keep the service from starting.
    expect(text).toContain('\nSetCredential=auth.json:{}\n');
  });

  it('starts the daemon with options that it has', async () => {
    const [, options = ''] = new RegExp(`^ExecStart=${PROGRAM} daemon (.*)$`, 'm').exec(text) ?? [];
    const names = options.split(' ').filter((word) => word.startsWith('--'));
    expect(names.length).toBeGreaterThan(0);
    const cli = await readFile(resolve(import.meta.dirname, '../../docs/cli.md'), 'utf8');
    for (const name of names) expect(cli).toContain(`\`${name} `);
  });
});
