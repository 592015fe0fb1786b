import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseToml } from '../../src/formats/toml-table.js';
import { peerOutput, runCommand } from '../support/landfall-command.js';
import { needsPeer } from '../support/peers.js';

const DEPLOY = resolve(import.meta.dirname, '../../deploy/containerd');

describe('the configuration of containerd', () => {
  it.skipIf(needsPeer('containerd') !== undefined)('is what containerd 1.7 understands', async () => {
    const text = await peerOutput('containerd', [
      ...['--config', join(DEPLOY, 'config-1.7.toml'), 'config', 'dump'],
    ]);
    const config = parseToml(text, 'dump');
    const proxy = config.table('proxy_plugins')?.table('landfall');
    expect(proxy?.string('type')).toBe('snapshot');
    expect(proxy?.string('address')).toBe('/run/landfall/snapshotter.sock');
    expect(proxy?.table('exports')?.string('root')).toBe('/var/lib/landfall');
    const cri = config.table('plugins')?.table('io.containerd.grpc.v1.cri')?.table('containerd');
    expect(cri?.string('snapshotter')).toBe('landfall');
    expect(cri?.boolean('disable_snapshot_annotations')).toBe(false);
  });

  it.skipIf(needsPeer('containerd') !== undefined).each([
    ['is the end of what containerd 1.7 is told elsewhere of its CRI, where it is imported', true],
    ['leaves all that containerd 1.7 is told of its CRI, in the same file', false],
  ])('%s', async (_, isImported) => {
    const work = await mkdtemp(join(tmpdir(), 'landfall-imports-'));
    try {
      const delivered = join(DEPLOY, 'config-1.7.toml');
      const lines = (await readFile(delivered, 'utf8')).replace('version = 2', '');
      const own = '[plugins."io.containerd.grpc.v1.cri"]\n  sandbox_image = "registry.example/pause:9"\n';
      const imports = isImported ? `imports = [${JSON.stringify(delivered)}]\n` : '';
      const file = join(work, 'config.toml');
      await writeFile(file, `version = 2\n${imports}${own}${isImported ? '' : lines}`);
      const dump = parseToml(await peerOutput('containerd', ['--config', file, 'config', 'dump']), 'dump');
      const cri = dump.table('plugins')?.table('io.containerd.grpc.v1.cri');
      expect(cri?.table('containerd')?.string('snapshotter')).toBe('landfall');
      const sandbox = cri?.string('sandbox_image');
      if (isImported) expect(sandbox).toMatch(/^registry\.k8s\.io\//);
      else expect(sandbox).toBe('registry.example/pause:9');
    } finally {
      await rm(work, { recursive: true });
    }
  });

  it('comes with drop-ins for units that there are', async () => {
    const units = await readdir(join(DEPLOY, 'systemd'));
    expect(units.sort()).toEqual(['containerd.service.d', 'landfall.service.d']);
    const unit = await readFile(join(DEPLOY, 'systemd/landfall.service.d/containerd.conf'), 'utf8');
    const config = await readFile(join(DEPLOY, 'config-1.7.toml'), 'utf8');
    const [, socket = ''] = /address = "(.*)"/.exec(config) ?? [];
    expect(unit).toContain(`--snapshotter unix://${socket} `);
  });

  it.skipIf(needsPeer('systemd-analyze') !== undefined)(
    'comes with drop-ins that systemd takes',
    async () => {
      const work = await mkdtemp(join(tmpdir(), 'landfall-drop-ins-'));
      try {
        await cp(join(DEPLOY, 'systemd'), work, { recursive: true });
        await cp(join(DEPLOY, '../systemd/landfall.service'), join(work, 'landfall.service'));
        // Its program need not be installed here, so one that is stands for it.
        for (const name of ['landfall.service', 'landfall.service.d/containerd.conf']) {
          const text = await readFile(join(work, name), 'utf8');
          await writeFile(join(work, name), text.replaceAll('/usr/bin/landfall', process.execPath));
        }
        const verify = ['verify', '--man=no', join(work, 'landfall.service')];
        const { code, stdout, stderr } = await runCommand('systemd-analyze', verify, {});
        expect({ code, said: `${stdout}${stderr}` }).toEqual({ code: 0, said: '' });
      } finally {
        await rm(work, { recursive: true });
      }
    },
  );
});
