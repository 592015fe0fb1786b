import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Pulls } from '../../../src/daemon/pulls/pulls.js';
import { RemoteLayers } from '../../../src/daemon/snapshots/remote-layers.js';
import { openStore } from '../../../src/engine/store.js';
import { PullBudget } from '../../../src/engine/pull/pull-budget.js';
import { chainIds } from '../../../src/spec/index.js';
import { GatedClient } from '../../support/gated-client.js';
import { imageSteps } from '../../support/image-steps.js';
import { ScriptedRegistry } from '../../support/scripted-registry.js';
import { makeTinyLayout } from '../../support/tiny-image.js';
import { sharedObjectSuite } from '../../suites/shared-object.js';

sharedObjectSuite(
  'the layers that a containerd asks for',
  async () => {
    const work = await mkdtemp(join(tmpdir(), 'landfall-layers-'));
    const layout = await makeTinyLayout(join(work, 'layout'));
    const { target, manifests } = layout;
    const registry = await ScriptedRegistry.start(
      ['key-0', 'key-1', 'key-2', ...Array.from({ length: 8 }, (_, at) => `probe-${at}`)].flatMap((name) =>
        imageSteps(layout, { repository: name, tag: layout.tag }),
      ),
    );
    const client = new GatedClient(target);
    const store = await openStore({ root: join(work, 'store'), sync: 'none' });
    const budget = new PullBudget();
    const pulls = new Pulls({ store, registry: client, budget, progressTimeoutMs: 0, discardLayers: false });
    const layers = new RemoteLayers({ store, pulls, credentialsFor: () => undefined, patienceMs: 60_000 });
    const [top = target.digest] = chainIds(manifests[0].diffIds).slice(-1);
    return {
      begin: async (operation) => {
        const reference = { registry: registry.address, repository: operation.key, digest: target.digest };
        const asked = `${registry.address}/${operation.key}@${target.digest}`;
        client.works.set(asked, operation.work);
        await layers.bring({ reference, asked }, top, { signal: operation.signal });
        layers.held(top);
      },
      close: async () => {
        await layers[Symbol.asyncDispose]();
        await client.close();
        await store.close();
        await registry[Symbol.asyncDispose]();
        await rm(work, { recursive: true });
      },
    };
  },
  { atOnce: 8, io: true, runs: 3 },
);
