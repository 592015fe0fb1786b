import { expect, test } from 'vitest';
import { PendingEvents } from '../../../src/cli/progress/pull-model.js';
import { blob, done, resolved, resolving, testLayers, unpack } from '../pull-events.js';

const [layer] = testLayers(1000);
if (layer === undefined) throw new Error('no layer');

test('of the same news the newest counts, in the order of the newest', () => {
  const pending = new PendingEvents();
  const events = [
    resolving(),
    resolved(),
    blob(layer, 'downloading', 10),
    blob(layer, 'retrying', 10),
    unpack(layer, 'unpacking', 5),
    blob(layer, 'downloading', 20),
    done(20),
  ];
  for (const event of events) pending.add(event);
  expect(pending.take()).toEqual(events.filter((_, at) => at !== 2));
  expect(pending.take()).toEqual([]);
});
