import {
  KeyedLimiter,
  Limiter,
  ResultCache,
  SingleFlight,
  untilAborted,
  WaitingLine,
} from '../../src/concurrency/index.js';
import { sharedObjectSuite } from '../suites/shared-object.js';

sharedObjectSuite(
  'a limiter',
  () => {
    const limiter = new Limiter(2);
    return {
      begin: ({ signal, work }) => limiter.run(() => work(signal), { signal }),
      left: () => ({ active: limiter.active }),
      waiting: () => limiter.waiting,
    };
  },
  { atOnce: 2 },
);

sharedObjectSuite(
  'a lock for each key',
  () => {
    const lock = new KeyedLimiter<string>(1);
    return {
      begin: ({ key, signal, work }) => lock.run(key, () => work(signal), { signal }),
      left: () => ({ keys: lock.size }),
      waiting: () => lock.waiting,
    };
  },
  { atOnce: 8 },
);

sharedObjectSuite(
  'a single flight',
  () => {
    const flights = new SingleFlight<string, string>();
    return {
      begin: ({ key, signal, work }) => flights.run(key, (all) => work(all), { signal }),
      left: () => ({ flights: flights.size }),
    };
  },
  { atOnce: 8 },
);

sharedObjectSuite(
  'a cache of results',
  () => {
    const results = new ResultCache<string, string>();
    return {
      begin: ({ key, signal, work }) => results.get(key, (all) => work(all), { signal }),
    };
  },
  { atOnce: 8 },
);

sharedObjectSuite(
  'a line for a change',
  () => {
    const line = new WaitingLine();
    let under = 0;
    return {
      begin: async ({ signal, work }) => {
        while (under > 0) await line.wait(undefined, { signal });
        under += 1;
        try {
          await untilAborted(work(), signal);
        } finally {
          under -= 1;
          line.admitAll();
        }
      },
      left: () => ({ under }),
      waiting: () => line.size,
    };
  },
  { atOnce: 1 },
);
