import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { DaemonProcess } from '../../support/daemon-process.js';
import { type LyingRegistry, startLyingRegistry } from '../../support/lying-registry.js';
import { makeTinyLayout } from '../../support/tiny-image.js';
import { Configured } from './configured.js';

describe('a pull beside a daemon', () => {
  let work: string;
  let root: string;
  let registry: LyingRegistry;
  let daemon: DaemonProcess;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-config-daemon-'));
    root = join(work, 'store');
    registry = await startLyingRegistry(await makeTinyLayout(join(work, 'layout')));
    daemon = await DaemonProcess.start(root, join(work, 's.sock'), ['--snapshots', 'native']);
  });
  afterAll(async () => {
    await daemon[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  const line = 'limit-rate = "100M"\n';
  test.each<
    [string, { system?: string; user?: string }, string[], Record<string, string>, 'daemon' | 'itself']
  >([
    ['without a word', {}, [], {}, 'daemon'],
    ["of the system's file", { system: line }, [], {}, 'daemon'],
    ["of a user's file", { user: line }, [], {}, 'itself'],
    ['of the environment', {}, [], { LANDFALL_LIMIT_RATE: '100M' }, 'itself'],
    ['of an option', { system: line }, ['--limit-rate', '100M'], {}, 'itself'],
    ['of a file, about something else', { user: 'log-level = "warn"' }, [], {}, 'daemon'],
    [
      'of its own table about what a daemon is asked for',
      { user: '[pull]\nunpack = false' },
      [],
      {},
      'daemon',
    ],
    [
      'of its own table about what a daemon is not asked for',
      { system: '[pull]\nsync = "none"' },
      [],
      {},
      'itself',
    ],
  ])('%s', async (_, files, argv, env, by) => {
    await using configured = await Configured.make(files);
    const before = daemon.log.length;
    const { code, err } = await configured.run(
      ['pull', '--root', root, '-q', '--progress', 'none', ...argv, `${registry.address}/team/app:1`],
      env,
    );
    expect({ code, err }).toEqual({ code: 0, err: '' });
    await expect
      .poll(() => daemon.log.slice(before).some((one) => one.endsWith(': begun')))
      .toBe(by === 'daemon');
  });
});
