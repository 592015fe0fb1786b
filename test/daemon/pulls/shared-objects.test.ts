import { PullTurns } from '../../../src/daemon/pulls/pull-turns.js';
import { sharedObjectSuite } from '../../suites/shared-object.js';

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
