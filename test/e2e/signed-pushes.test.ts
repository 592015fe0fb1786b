import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { type CosignKey, cosignKey, cosignSign } from '../support/cosign.js';
import { landfall, landfallJson, runCommand } from '../support/landfall-command.js';
import { needsPeer } from '../support/peers.js';
import { ServeProcess } from '../support/serve-process.js';
import { signature } from '../support/signature-policies.js';
import { makeTinyLayout, type TinyLayout } from '../support/tiny-image.js';

/** What clients call the server, and its policy. */
const HOST = 'registry.lan:5000';

describe.skipIf(needsPeer('skopeo', 'cosign') !== undefined)('a writable server under a policy', () => {
  let work: string;
  let key: CosignKey;
  let layout: TinyLayout;
  let policy: string;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-signed-pushes-'));
    key = await cosignKey(work, 'cosign');
    layout = await makeTinyLayout(join(work, 'layout'));
    policy = join(work, 'policy.json');
    const asked = signature({ keyPath: key.public, signedIdentity: { type: 'matchRepository' } });
    const docker = { [`${HOST}/team`]: [asked] };
    await writeFile(policy, JSON.stringify({ default: [{ type: 'reject' }], transports: { docker } }));
  });
  afterAll(() => rm(work, { recursive: true, force: true }));

  const serve = (root: string, ...more: string[]): Promise<ServeProcess> =>
    ServeProcess.start([
      '--root',
      root,
      '--policy',
      policy,
      ...['serve', '--writable', '--advertise', HOST, ...more],
    ]);
  const skopeoPush = (to: string): ReturnType<typeof runCommand> =>
    runCommand(
      'skopeo',
      ['copy', '-q', '--all', '--dest-tls-verify=false', `oci:${join(work, 'layout')}`, `docker://${to}`],
      {},
    );
  const pull = (name: string): ReturnType<typeof landfall> =>
    landfall([
      '--root',
      join(work, `node-${new URL(`http://${name}`).port}`),
      '--plain-http',
      '--progress',
      'none',
      'pull',
      name,
    ]);

  it('refuses an unsigned push of skopeo, and takes it once cosign has signed its digest', async () => {
    const root = join(work, 'strict');
    await using server = await serve(root);
    const app = `127.0.0.1:${server.port}/team/app`;
    const refused = await skopeoPush(`${app}:1`);
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain('denied');
    expect(refused.stderr).toContain('is not signed');
    expect(await landfallJson(['--root', root, 'images'])).toEqual([]);
    await cosignSign(`${app}@${layout.target.digest}`, { key }, `${HOST}/team/app`);
    expect(await skopeoPush(`${app}:1`)).toMatchObject({ code: 0 });
    expect(await pull(`${app}:1`)).toMatchObject({ code: 0 });
  });

  it('with a grace takes it before it is signed, and gives it only then', async () => {
    const root = join(work, 'lenient');
    await using server = await serve(root, '--sign-within', '1h');
    const app = `127.0.0.1:${server.port}/team/app`;
    expect(await skopeoPush(`${app}:1`)).toMatchObject({ code: 0 });
    const early = await pull(`${app}:1`);
    expect(early.code).toBe(4);
    expect(early.stderr).toContain('is not signed');
    await cosignSign(`${app}:1`, { key }, `${HOST}/team/app`);
    expect(await pull(`${app}:1`)).toMatchObject({ code: 0 });
  });

  it('is not asked for a grace where nothing can be pushed', async () => {
    const { code, stderr } = await landfall(['--root', join(work, 'none'), 'serve', '--sign-within', '1h']);
    expect([code, stderr]).toEqual([2, expect.stringContaining('--sign-within needs --writable')]);
  });
});
