import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { logoutCommand, type LogoutFlags } from '../../../src/cli/commands/login.js';
import { Log } from '../../../src/cli/output/log.js';
import { type GlobalFlags, resolveSettings } from '../../../src/cli/config/settings.js';
import { placeHelper } from '../../support/fake-helper.js';
import { secret } from '../../support/secrets.js';
import { fakeSurroundings } from '../fake-surroundings.js';

const PASSWORD = secret('anchor-chain-5');
const entry = { auth: Buffer.from(`pilot:${PASSWORD}`).toString('base64') };

let dir = '';
let docker = '';
let containers = '';
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'logout-'));
  docker = join(dir, 'docker/config.json');
  containers = join(dir, 'config/containers/auth.json');
  await mkdir(join(dir, 'docker'));
  await mkdir(join(dir, 'config/containers'), { recursive: true });
});
afterEach(async () => {
  await rm(dir, { recursive: true });
});

async function logout(
  host: string,
  flags: LogoutFlags = {},
  globals: GlobalFlags = {},
): Promise<{ code: number; out: string; err: string }> {
  const around = fakeSurroundings({
    env: {
      HOME: dir,
      DOCKER_CONFIG: join(dir, 'docker'),
      XDG_RUNTIME_DIR: join(dir, 'run'),
      XDG_CONFIG_HOME: join(dir, 'config'),
      PATH: `${dir}:/usr/bin:/bin`,
    },
  });
  const settings = resolveSettings(globals, around);
  const log = new Log(settings.logLevel, (text) => around.stderr.write(text));
  const context = { ...around, settings, log, signal: new AbortController().signal };
  const code = await logoutCommand(host, flags, context);
  return { code, out: around.stdout.text, err: around.stderr.text };
}

const write = (path: string, document: object): Promise<void> => writeFile(path, JSON.stringify(document));
const read = async (path: string): Promise<unknown> => JSON.parse(await readFile(path, 'utf8')) as unknown;

describe('logout', () => {
  test('removes the entry and says from where', async () => {
    await write(docker, { auths: { 'https://index.docker.io/v1/': entry, 'gcr.io': entry } });
    const { code, out, err } = await logout('docker.io');
    expect({ code, out, err }).toEqual({
      code: 0,
      out: `logged out of docker.io (removed from ${docker})\n`,
      err: '',
    });
    expect(await read(docker)).toEqual({ auths: { 'gcr.io': entry } });
  });

  test('of nobody is as it should be', async () => {
    expect(await logout('quay.io')).toEqual({ code: 0, out: 'not logged in to quay.io\n', err: '' });
  });

  test('says where credentials are left, and removes them with --all', async () => {
    await write(docker, { auths: { 'quay.io': entry, 'quay.io/team': entry, 'quay.io/team/app': entry } });
    await write(containers, { auths: { 'quay.io': entry } });
    expect((await logout('https://quay.io')).err).toBe(
      `landfall: warning: there are credentials for quay.io in ${containers} too; --all removes them\n`,
    );
    const { out, err } = await logout('quay.io', { all: true });
    expect(out).toBe(`logged out of quay.io (removed from ${docker} and ${containers})\n`);
    expect(err).toBe('');
    expect([await read(docker), await read(containers)]).toEqual([{ auths: {} }, { auths: {} }]);
  });

  test('from the file that is named leaves the others alone', async () => {
    const authfile = join(dir, 'named.json');
    await write(docker, { auths: { 'quay.io': entry } });
    await write(authfile, { auths: { 'quay.io': entry } });
    expect((await logout('quay.io', { all: true }, { authfile })).err).toBe('');
    expect([await read(docker), await read(authfile)]).toEqual([
      { auths: { 'quay.io': entry } },
      { auths: {} },
    ]);
  });

  test('answers a program with all places', async () => {
    await placeHelper(dir, 'keeping', `cat > /dev/null; echo '{"Username":"u","Secret":"${PASSWORD}"}'`);
    await write(docker, { credsStore: 'keeping', auths: { 'quay.io': entry } });
    await write(containers, { auths: { 'quay.io': entry } });
    const { out } = await logout('quay.io', {}, { output: 'json' });
    expect(JSON.parse(out)).toEqual({
      registry: 'quay.io',
      removed: [
        { stored: 'file', path: docker, key: 'quay.io' },
        { stored: 'helper', helper: 'docker-credential-keeping' },
      ],
      remaining: [{ stored: 'file', path: containers, key: 'quay.io' }],
    });
  });
});
