import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ContainerConfig } from '../../src/spec/index.js';
import { makeBusyboxLayout } from '../support/busybox-image.js';
import type { CommandResult } from '../support/landfall-command.js';
import { needsPeer } from '../support/peers.js';
import { UnprivilegedUser } from '../support/unprivileged-user.js';

const reason = needsPeer('runc', 'busybox');

let user: UnprivilegedUser;
beforeAll(async () => {
  user = await UnprivilegedUser.start();
});
afterAll(() => user[Symbol.asyncDispose]());

let bundles = 0;

/** Makes a bundle of an image with this config and runs it, all as the user. */
async function run(config: ContainerConfig, script: string): Promise<CommandResult> {
  const id = `landfall-test-${process.pid}-${++bundles}`;
  const layout = join(user.directory, `layout-${bundles}`);
  const bundle = join(user.directory, 'tmp', `bundle-${bundles}`);
  await makeBusyboxLayout(layout, { Entrypoint: ['/bin/sh'], Cmd: ['-c', script], ...config });
  const command = [user.landfall, 'bundle', '--rootless', `oci:${layout}`, bundle];
  const made = await user.run(process.execPath, command);
  expect(made).toMatchObject({ code: 0 });
  return user.run('runc', ['--root', join(user.directory, 'tmp/runc'), 'run', '--bundle', bundle, id]);
}

describe.skipIf(reason !== undefined)('runc runs a bundle for a user without privileges', () => {
  it.each<[string, string, ContainerConfig, string]>([
    ['as root, who is the user', 'id -u && cat /proc/self/uid_map', {}, `0\n0 USER 1`],
    ['who owns all files', 'stat -c %u:%g /etc/passwd', {}, '0:0'],
    ['in the image’s environment', 'pwd && echo $A', { WorkingDir: '/srv', Env: ['A=1'] }, '/srv\n1'],
    ['with volumes', 'touch /srv/new && ls /srv', { Volumes: { '/srv': {} } }, 'new'],
  ])('%s', async (_, script, config, expected) => {
    const { stdout } = await run(config, script);
    expect(
      stdout
        .trim()
        .replace(/[ \t]+/g, ' ')
        .replace(/\n /g, '\n'),
    ).toBe(expected.replace('USER', `${user.uid}`));
  });

  it.each([0, 42])('and its exit status %i comes back', async (status) => {
    expect(await run({}, `exit ${status}`)).toMatchObject({ code: status, stdout: '' });
  });
});
