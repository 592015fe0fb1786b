import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DaemonMetrics } from '../../src/daemon/observe/metrics.js';
import { Pulls } from '../../src/daemon/pulls/pulls.js';
import { openStore, type Store } from '../../src/engine/store.js';
import { PullBudget } from '../../src/engine/pull/pull-budget.js';
import { fastClient } from '../support/registry-fixture.js';

const ROOT = resolve(import.meta.dirname, '../..');

describe('the metrics of the daemon', () => {
  let work: string;
  let store: Store;
  let names: ReadonlySet<string>;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-metrics-'));
    store = await openStore({ root: join(work, 'store'), sync: 'none' });
    await using registry = fastClient();
    const metrics = new DaemonMetrics({ store, version: '1.2.3' });
    const budget = new PullBudget();
    metrics.follow(new Pulls({ store, registry, budget, progressTimeoutMs: 0, discardLayers: false }));
    const { text } = await metrics.render();
    names = new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name = '']) => name));
  });
  afterAll(async () => {
    await store.close();
    await rm(work, { recursive: true, force: true });
  });

  it('are those that the manual lists', async () => {
    const manual = await readFile(join(ROOT, 'docs/node.md'), 'utf8');
    const listed = manual.slice(manual.indexOf('## Metrics')).matchAll(/`((?:landfall|process)_[a-z_]+)`/g);
    expect([...new Set([...listed].map(([, name = '']) => name))].sort()).toEqual([...names].sort());
  });

  it('are there for all that the dashboard asks, and it shows all of landfall’s own', async () => {
    const dashboard = await readFile(join(ROOT, 'deploy/grafana/landfall.json'), 'utf8');
    const asked = [...dashboard.matchAll(/(?:landfall|process)_[a-z_]+(?=\{|,)/g)].map(([name]) => name);
    expect(asked.length).toBeGreaterThan(9);
    const base = (name: string): string => name.replace(/_bucket$/, '');
    expect(asked.filter((name) => !names.has(base(name)))).toEqual([]);
    const shown = new Set(asked.map(base));
    expect([...names].filter((name) => name.startsWith('landfall_') && !shown.has(name))).toEqual([]);
  });
});
