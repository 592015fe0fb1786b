import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { PolicyDirectory, PolicyFile } from '../../../src/trust/policy/policy-file.js';

const fallback = new PolicyFile('/etc/containers/policy.json');
const LONGEST = 'a'.repeat(63);

let dir: string;
let policies: PolicyDirectory;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'landfall-policy-directory-'));
  policies = new PolicyDirectory(dir, fallback);
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

describe('the policy of a namespace', () => {
  it.each(['team', 'kube-system', 'a', '0', LONGEST])('is its own: %s', async (namespace) => {
    expect(await policies.forNamespace(namespace)).toBe(fallback);
    await writeFile(join(dir, `${namespace}.json`), '');
    expect((await policies.forNamespace(namespace))?.path).toBe(join(dir, `${namespace}.json`));
    expect((await policies.forNamespace('other'))?.path).toBe(fallback.path);
  });

  it('is its own also where that cannot be read, and then refuses everything', async () => {
    await mkdir(join(dir, 'team.json'));
    await symlink('/nowhere', join(dir, 'linked.json'));
    expect((await policies.forNamespace('team'))?.path).toBe(join(dir, 'team.json'));
    expect((await policies.forNamespace('linked'))?.path).toBe(join(dir, 'linked.json'));
  });

  it('is the common one where there is no namespace', async () => {
    await writeFile(join(dir, '.json'), '');
    await writeFile(join(dir, 'undefined.json'), '');
    expect(await policies.forNamespace('')).toBe(fallback);
    expect(await policies.forNamespace(undefined)).toBe(fallback);
    expect(await new PolicyDirectory(dir, undefined).forNamespace(undefined)).toBeUndefined();
    expect(await new PolicyDirectory(dir, undefined).forNamespace('team')).toBeUndefined();
  });

  it.each([
    '..',
    '../team',
    'a/b',
    '/etc/containers/policy',
    'Team',
    'team.json',
    '-team',
    'team-',
    'te am',
    'team\n',
    'team\0',
    `${LONGEST}a`,
    'tëam',
  ])('is none where it is no namespace: %j', async (namespace) => {
    await expect(policies.forNamespace(namespace)).rejects.toMatchObject({
      code: 'POLICY_REJECTED',
      message: expect.stringContaining('which is no namespace') as unknown,
    });
  });

  it('is none where the directory is not there, so that nothing gets looser by that', async () => {
    await rm(dir, { recursive: true });
    await expect(policies.forNamespace('team')).rejects.toMatchObject({
      code: 'POLICY_REJECTED',
      message: `the directory of policies ${dir} is not there, so every image is refused`,
    });
  });

  it('is looked for below an absolute path', () => {
    expect(new PolicyDirectory(relative(process.cwd(), dir), fallback).path).toBe(dir);
  });
});
