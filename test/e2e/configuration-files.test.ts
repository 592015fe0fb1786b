import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { MountNamespace, landfallAt } from '../support/mount-namespace.js';
import { isRoot } from '../support/needs-root.js';
import { UnprivilegedUser } from '../support/unprivileged-user.js';

describe('the file of a user without privileges', () => {
  let user: UnprivilegedUser;
  let file: string;

  beforeAll(async () => {
    user = await UnprivilegedUser.start();
    file = join(user.directory, 'home/.config/landfall/config.toml');
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, 'concurrency = 7\n');
  });
  afterAll(() => user[Symbol.asyncDispose]());

  const run = (): ReturnType<UnprivilegedUser['run']> =>
    user.run(process.execPath, [user.landfall, 'config', '-q', 'concurrency'], {
      env: { LANDFALL_CONFIG: '' },
    });

  it('is read', async () => {
    expect(await run()).toMatchObject({ code: 0, stdout: '7\n', stderr: '' });
  });

  it('that may not be read is an error', async () => {
    await chmod(file, 0);
    const { code, stderr } = await run();
    expect(code).toBe(2);
    expect(stderr.split('\n')[0]).toBe(`landfall: the configuration file ${file} cannot be read (EACCES)`);
    await chmod(file, 0o644);
  });

  it('below a directory that may not be entered is none', async () => {
    await chmod(dirname(file), 0);
    const { code, stdout, stderr } = await run();
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).not.toBe('7\n');
    await chmod(dirname(file), 0o755);
  });
});

describe.runIf(isRoot)('the file of the system', () => {
  let place: MountNamespace;

  beforeAll(async () => {
    place = await MountNamespace.start();
    const etc = join(place.directory, 'etc');
    // A copy that this namespace alone sees, so that the machine's own stays as it is.
    const script = 'cp -a /etc "$1" && mkdir -p "$1/landfall" && mount --bind "$1" /etc';
    const { code, stderr } = await place.run('sh', ['-c', script, 'sh', etc]);
    if (code !== 0) throw new Error(stderr);
    await writeFile(place.reach('/etc/landfall/config.toml'), 'concurrency = 5\nhosts-dir = ["hosts"]\n');
  });
  afterAll(() => place[Symbol.asyncDispose]());

  it('is /etc/landfall/config.toml', async () => {
    const env = { LANDFALL_CONFIG: '' };
    const { code, stdout } = await landfallAt(place, ['config', 'concurrency', 'hosts-dir'], { env });
    expect(code).toBe(0);
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .slice(1)
        .map((line) => line.split(/ {2,}/)),
    ).toEqual([
      ['concurrency', '5', '/etc/landfall/config.toml:1'],
      ['hosts-dir', '/etc/landfall/hosts', '/etc/landfall/config.toml:2'],
    ]);
    const doctor = await landfallAt(place, ['doctor'], { env });
    expect(doctor.stdout).toContain('configuration: /etc/landfall/config.toml; see landfall config');
    const json = await landfallAt(place, ['doctor', '--output', 'json'], { env });
    expect(JSON.parse(json.stdout)).toMatchObject({
      configFiles: [{ path: '/etc/landfall/config.toml', scope: 'system' }],
    });
  });
});
