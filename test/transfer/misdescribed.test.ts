import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { copy } from '../../src/library/copy.js';
import { readImageFile } from '../../src/library/read-images.js';
import { HEAD_LIES, honestLines, lyingSteps } from '../support/head-lies.js';
import { fastClient } from '../support/registry-fixture.js';
import { ScriptedRegistry } from '../support/scripted-registry.js';
import { makeTinyLayout, type TinyLayout } from '../support/tiny-image.js';

describe('where HEAD of a tag', () => {
  let work: string;
  let layout: TinyLayout;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-misdescribed-'));
    layout = await makeTinyLayout(join(work, 'layout'), { layers: [[{ path: 'motd', content: 'ahoy' }]] });
  });
  afterAll(() => rm(work, { recursive: true, force: true }));

  const manifests = (registry: ScriptedRegistry): string[] => [
    ...new Set(registry.lines().filter((line) => line.includes('/manifests/'))),
  ];

  describe.each(HEAD_LIES)('%s', (_name, lie) => {
    it('the image is copied as GET has it', async () => {
      await using registry = await ScriptedRegistry.start(lyingSteps(layout, lie));
      await using client = fastClient();
      const report = await copy({
        source: `docker://${registry.address}/team/app:1`,
        destination: `oci:${await mkdtemp(join(work, 'copied-'))}/layout:1`,
        registry: client,
        referrers: false,
      });
      expect([report.target, report.resolved]).toEqual([layout.target, layout.target]);
      expect(manifests(registry)).toEqual(honestLines(layout, lie));
    });

    it('a file of the image is read all the same', async () => {
      await using registry = await ScriptedRegistry.start(lyingSteps(layout, lie));
      await using client = fastClient();
      const chunks: Buffer[] = [];
      for await (const chunk of readImageFile(undefined, `docker://${registry.address}/team/app:1`, '/motd', {
        registry: client,
      })) {
        chunks.push(chunk);
      }
      expect(Buffer.concat(chunks).toString()).toBe('ahoy');
      expect(manifests(registry)).toEqual(honestLines(layout, lie));
    });
  });
});
