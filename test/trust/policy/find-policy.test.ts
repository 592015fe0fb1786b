import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import {
  findPolicyFile,
  type FindPolicyOptions,
  lastingPolicy,
} from '../../../src/trust/policy/policy-file.js';
import { registryImage } from '../../../src/trust/policy/policy-image.js';

let dir: string;
let home: string;
let user: string;
let system: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'landfall-find-policy-'));
  home = join(dir, 'home');
  user = join(home, '.config/containers/policy.json');
  system = join(dir, 'policy.json');
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

const make = async (...paths: readonly string[]): Promise<void> => {
  for (const path of paths) {
    await mkdir(join(path, '..'), { recursive: true });
    await writeFile(path, '');
  }
};
const find = async ({ env = {}, explicit }: Partial<FindPolicyOptions> = {}): Promise<string | undefined> => {
  const found = await findPolicyFile({ explicit, env: { HOME: home, ...env }, system });
  return found && `${found.origin} ${found.file.path}`;
};

describe('the policy is', () => {
  it('the one that is named, before all others', async () => {
    await make(user, system);
    const env = { LANDFALL_POLICY: '/from/environment.json' };
    expect(await find({ explicit: '/named.json', env })).toBe('option /named.json');
    expect(await find({ explicit: 'named.json', env })).toBe(`option ${resolve('named.json')}`);
  });

  it('that of the environment, where none is named', async () => {
    await make(user, system);
    expect(await find({ env: { LANDFALL_POLICY: '/there.json' } })).toBe('environment /there.json');
    expect(await find({ env: { LANDFALL_POLICY: 'there.json' } })).toBe(
      `environment ${resolve('there.json')}`,
    );
  });

  it("the user's, where neither is", async () => {
    await make(user, system);
    expect(await find()).toBe(`user ${user}`);
    expect(await find({ env: { LANDFALL_POLICY: '' } })).toBe(`user ${user}`);
  });

  it("the system's, where the user has none", async () => {
    await make(system);
    expect(await find()).toBe(`system ${system}`);
    await writeFile(home, '');
    expect(await find()).toBe(`system ${system}`);
    expect(await find({ env: { HOME: '/dev/null' } })).toBe(`system ${system}`);
  });

  it('none, where there is none', async () => {
    expect(await find()).toBeUndefined();
  });

  it.each<[string, () => Promise<void>]>([
    ['a link to nowhere', async () => await symlink('/nowhere', user)],
    ['a directory', async () => await mkdir(user)],
  ])("the user's also where that is %s, which then refuses everything", async (_name, put) => {
    await mkdir(join(user, '..'), { recursive: true });
    await make(system);
    await put();
    expect(await find()).toBe(`user ${user}`);
  });

  it("the user's also where it cannot be told whether that is there", async () => {
    await make(system);
    const long = join(dir, 'x'.repeat(300));
    expect(await find({ env: { HOME: long } })).toBe(`user ${join(long, '.config/containers/policy.json')}`);
  });

  it("the system's also where that is a link to nowhere", async () => {
    await symlink('/nowhere', system);
    expect(await find()).toBe(`system ${system}`);
  });

  it.each(['', undefined])('that of the account where HOME is %j', async (HOME) => {
    const own = await find({ env: { HOME } });
    const place = join(homedir(), '.config/containers/policy.json');
    expect([undefined, `user ${place}`]).toContain(own);
  });

  it('not one without a name', async () => {
    await expect(find({ explicit: '' })).rejects.toMatchObject({ code: 'INVALID_CONFIG' });
  });
});

describe('for what runs for long, the policy', () => {
  const ACCEPT = '{"default":[{"type":"insecureAcceptAnything"}]}';
  const REJECT = '{"default":[{"type":"reject"}]}';
  const image = registryImage({ registry: 'quay.io', repository: 'team/app' });
  const put = async (path: string, policy: string): Promise<void> => {
    await make(path);
    await writeFile(path, policy);
  };

  it('is what is in its place at the moment: the first that is there, and none where none is', async () => {
    const policy = lastingPolicy({ env: { HOME: home }, system });
    const rejects = async (): Promise<boolean[]> => {
      const refused = { code: 'POLICY_REJECTED' };
      const isRefused = async (asked: Promise<unknown>): Promise<boolean> => {
        try {
          await asked;
          return false;
        } catch (error) {
          expect(error).toMatchObject(refused);
          return true;
        }
      };
      return [
        await isRefused(policy.rulingFor(image)),
        await isRefused(policy.admitUnnamed('an image')),
        !(await policy.acceptsEverything()),
      ];
    };
    expect(await rejects()).toEqual([false, false, false]);
    await put(system, REJECT);
    expect(await rejects()).toEqual([true, true, true]);
    await put(user, ACCEPT);
    expect(await rejects()).toEqual([false, false, false]);
    await rm(user);
    expect(await rejects()).toEqual([true, true, true]);
  });

  it('is the one that is named, there or not', async () => {
    await put(system, ACCEPT);
    const policy = lastingPolicy({ explicit: join(dir, 'named.json'), env: { HOME: home }, system });
    await expect(policy.rulingFor(image)).rejects.toMatchObject({ code: 'POLICY_REJECTED' });
  });
});
