import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Pulls } from '../../../src/daemon/pulls/pulls.js';
import { PullSlots } from '../../../src/daemon/pulls/transfer.js';
import { openStore } from '../../../src/engine/store.js';
import { PullBudget } from '../../../src/engine/pull/pull-budget.js';
import { GatedClient } from '../../support/gated-client.js';
import { imageSteps } from '../../support/image-steps.js';
import { ScriptedRegistry } from '../../support/scripted-registry.js';
import { makeTinyLayout } from '../../support/tiny-image.js';
import { sharedObjectSuite } from '../../suites/shared-object.js';

sharedObjectSuite(
  'the turns of pulls',
  () => {
    const slots = new PullSlots({ maxParallel: 3, maxParallelPerRegistry: 2 });
    return {
      begin: ({ key, signal, work }) => slots.take(key, signal, () => work(signal)),
      waiting: () => slots.waiting,
    };
  },
  { atOnce: 3 },
);

sharedObjectSuite(
  'the pulls of a daemon',
  async () => {
    const work = await mkdtemp(join(tmpdir(), 'landfall-pulls-'));
    const layout = await makeTinyLayout(join(work, 'layout'));
    const registry = await ScriptedRegistry.start(
      imageSteps(layout, { repository: 'team/app', tag: layout.tag }),
    );
    const client = new GatedClient(layout.target);
    const store = await openStore({ root: join(work, 'store'), sync: 'none' });
    const pulls = new Pulls({
      store,
      registry: client,
      budget: new PullBudget(),
      progressTimeoutMs: 0,
      discardLayers: false,
      maxParallel: 3,
    });
    return {
      begin: async (operation) => {
        const reference = `${registry.address}/team/app:${operation.key}`;
        client.works.set(reference, operation.work);
        await pulls.pull({ reference, signal: operation.signal });
      },
      left: async () => ({
        pulls: pulls.list().length,
        leases: (await store.database.all('SELECT * FROM leases')).length,
      }),
      close: async () => {
        await client.close();
        await store.close();
        await registry[Symbol.asyncDispose]();
        await rm(work, { recursive: true });
      },
    };
  },
  { atOnce: 3, io: true, runs: 5 },
);
