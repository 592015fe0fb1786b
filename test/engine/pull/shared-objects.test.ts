import {
  type ExtraConnection,
  ExtraConnections,
  FairSlots,
  PullBudget,
} from '../../../src/engine/pull/pull-budget.js';
import { sharedObjectSuite } from '../../suites/shared-object.js';

sharedObjectSuite(
  'fair slots',
  () => {
    const slots = new FairSlots(2);
    const owners = new Map<string, object>();
    return {
      begin: ({ key, signal, work }) => {
        const owner = owners.get(key) ?? {};
        owners.set(key, owner);
        return slots.run({ owner, bytes: key.length, signal }, () => work(signal));
      },
      left: () => ({ taken: slots.size - slots.free }),
      waiting: () => slots.waiting,
    };
  },
  { atOnce: 2 },
);

sharedObjectSuite(
  'the budget of pulls',
  () => {
    const budget = new PullBudget({ concurrency: 2 });
    const shares = new Map<string, ReturnType<PullBudget['share']>>();
    return {
      begin: ({ key, signal, work }) => {
        const share = shares.get(key) ?? budget.share();
        shares.set(key, share);
        // Each has a slot of one kind, then of the other, as a layer that is brought and unpacked.
        return share.download({ bytes: 1, signal }, () =>
          share.unpack({ bytes: 1, signal }, () => work(signal)),
        );
      },
    };
  },
  { atOnce: 2 },
);

sharedObjectSuite(
  'further connections for large downloads',
  () => {
    const slots = new FairSlots(4);
    // As if the network gave each connection as much again.
    let at = 0;
    const extra = new ExtraConnections(slots, { now: () => (at += 100), idle: () => at });
    return {
      begin: ({ signal, work }) =>
        slots.run({ owner: slots, bytes: 1, signal }, async () => {
          const helpers = new Set<ExtraConnection>();
          const known = extra.add({
            secondsLeft: 100,
            worthHelp: true,
            help: (connection) => {
              helpers.add(connection);
              connection.begun();
            },
          });
          known.came(1_000);
          try {
            await work(signal);
          } finally {
            known.end();
            for (const helper of helpers) helper.end();
          }
        }),
      left: () => ({ taken: slots.size - slots.free }),
      waiting: () => slots.waiting,
    };
  },
  { atOnce: 4, io: true, runs: 15 },
);
