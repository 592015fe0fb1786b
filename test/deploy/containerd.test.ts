import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseToml } from '../../src/registry/hosts/toml-table.js';
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
