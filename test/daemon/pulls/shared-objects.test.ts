import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Pulls } from '../../../src/daemon/pulls/pulls.js';
import { PullTurns } from '../../../src/daemon/pulls/pull-turns.js';
import { openStore, PullBudget } from '../../../src/engine/index.js';
import { RegistryClient, type Resolver } from '../../../src/registry/index.js';
import { type Descriptor, formatReference } from '../../../src/spec/index.js';
import { imageSteps } from '../../support/image-steps.js';
import { ScriptedRegistry } from '../../support/scripted-registry.js';
import { makeTinyLayout } from '../../support/tiny-image.js';
import { type Operation, sharedObjectSuite } from '../../suites/shared-object.js';

sharedObjectSuite(
  'the turns of pulls',
  () => {
    const turns = new PullTurns({ maxParallel: 3, maxParallelPerRegistry: 2 });
    return {
      begin: ({ key, signal, work }) => turns.take(key, signal, () => work(signal)),
      waiting: () => turns.waiting,
    };
  },
  { atOnce: 3 },
);

/** A client that resolves a reference once the work that belongs to it is done. */
class GatedClient extends RegistryClient {
  readonly works = new Map<string, Operation['work']>();
  readonly #target: Descriptor;

  constructor(target: Descriptor) {
    super({ plainHttp: true });
    this.#target = target;
  }

  override resolver(): Resolver {
    return {
      resolve: async (reference, { signal } = {}) => {
        await this.works.get(formatReference(reference))?.(signal);
        return this.#target;
      },
    };
  }
}

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
