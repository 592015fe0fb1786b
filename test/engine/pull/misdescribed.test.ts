import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { openStore } from '../../../src/engine/store.js';
import { pull } from '../../../src/engine/pull/pull.js';
import { resolveReference } from '../../../src/engine/images/read-manifest.js';
import { parsePlatform, parseReference } from '../../../src/spec/index.js';
import { HEAD_LIES, honestLines, lyingSteps } from '../../support/head-lies.js';
import { failure, fastClient } from '../../support/registry-fixture.js';
import { ScriptedRegistry } from '../../support/scripted-registry.js';
import { makeTinyLayout, type TinyLayout } from '../../support/tiny-image.js';

const platform = parsePlatform('linux/amd64');
/** Of manifests, each once: what is asked for again for another reason does not matter here. */
const manifests = (registry: ScriptedRegistry): string[] => [
  ...new Set(registry.lines().filter((line) => line.includes('/manifests/'))),
];

describe('where HEAD of a tag', () => {
  let work: string;
  let layout: TinyLayout;
  let many: TinyLayout;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-misdescribed-'));
    layout = await makeTinyLayout(join(work, 'layout'));
    many = await makeTinyLayout(join(work, 'many'), { platforms: ['linux/amd64', 'linux/arm64'] });
  });
  afterAll(() => rm(work, { recursive: true, force: true }));

  describe.each(HEAD_LIES)('%s', (_name, lie) => {
    it('the image is pulled as GET has it', async () => {
      await using registry = await ScriptedRegistry.start(lyingSteps(layout, lie));
      await using client = fastClient();
      await using store = await openStore({ root: await mkdtemp(join(work, 'root-')), workers: 1 });
      const reference = `${registry.address}/team/app:1`;
      const result = await pull({ store, registry: client, reference, platform });
      expect(result.digest).toBe(layout.target.digest);
      expect((await store.images.get(reference))?.target).toEqual(layout.target);
      expect(manifests(registry)).toEqual(honestLines(layout, lie));
    });

    it('it is resolved for a platform', async () => {
      await using registry = await ScriptedRegistry.start(lyingSteps(many, lie));
      await using client = fastClient();
      const reference = parseReference(`${registry.address}/team/app:1`);
      const [{ manifest }] = many.manifests;
      expect(await resolveReference({ registry: client, reference, platform })).toMatchObject(manifest);
      expect(manifests(registry)).toEqual([
        ...honestLines(many, lie),
        `GET /v2/team/app/manifests/${manifest.digest}`,
      ]);
    });
  });

  it('is right and the manifest is not there by GET either, that is said', async () => {
    const [, byTagAlone] = HEAD_LIES.find(([name]) => name.includes('by tag alone')) ?? [];
    if (byTagAlone === undefined) throw new Error('there is no such row');
    const steps = lyingSteps(layout, byTagAlone).map((step) =>
      step.on === 'GET /v2/team/app/manifests/1' ? { on: step.on, status: 404 } : step,
    );
    await using registry = await ScriptedRegistry.start(steps);
    await using client = fastClient();
    await using store = await openStore({ root: await mkdtemp(join(work, 'root-')), workers: 1 });
    const reference = `${registry.address}/team/app:1`;
    const error = await failure(pull({ store, registry: client, reference, platform }));
    expect(error).toMatchObject({ code: 'NOT_FOUND' });
    expect(registry.lines()).toEqual(honestLines(layout, byTagAlone));
  });
});
