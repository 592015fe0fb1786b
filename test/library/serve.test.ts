import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';

import { serveStore } from '../../src/entries/serve.js';
import { copy, openStore } from '../../src/index.js';
import { ACCEPT, PolicyFiles } from '../support/memory-signed-images.js';
import { putImage } from '../support/stored-image.js';

let scratch: string;
let files: PolicyFiles;
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'landfall-library-'));
  files = await PolicyFiles.create();
});
afterEach(async () => {
  await files[Symbol.asyncDispose]();
  await rm(scratch, { recursive: true });
});

it('a store that is served under a policy takes no unsigned image, by the name that clients call it', async () => {
  await using local = await openStore({ root: join(scratch, 'local') });
  await putImage(local, 'docker.io/team/app:1');
  await using store = await openStore({ root: join(scratch, 'served') });
  const policy = await files.write([ACCEPT], { docker: { 'registry.lan:5000/team': [files.signed()] } });
  const advertise = 'registry.lan:5000';
  await using served = await serveStore({ store, writable: true, policy, advertise });
  const push = (name: string): Promise<unknown> =>
    copy({ store: local, source: 'docker.io/team/app:1', destination: `docker://${served.host}/${name}` });
  await expect(push('team/app:1')).rejects.toMatchObject({ code: 'DENIED' });
  await expect(push('open/app:1')).resolves.toMatchObject({ outcome: 'copied' });
});
