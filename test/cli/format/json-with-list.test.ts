import { expect, test } from 'vitest';
import { jsonWithList } from '../../../src/cli/commands/tree-entry-info.js';

async function written(pieces: AsyncIterable<string>): Promise<string> {
  let text = '';
  for await (const piece of pieces) text += piece;
  return text;
}

async function* taken(items: readonly object[]): AsyncGenerator<object, void, undefined> {
  await Promise.resolve();
  yield* items;
}

test.each<[head: object, items: object[], tail: object]>([
  [{ name: 'a', nested: { b: [1] } }, [{ c: '\n\u2028' }, {}, { d: { e: [] } }], { summary: { f: 1 } }],
  [{ name: 'a' }, [], {}],
  [{}, [{ c: 1 }], {}],
  [{}, [], { summary: {} }],
])('is what JSON.stringify writes: %j %j %j', async (head, items, tail) => {
  expect(await written(jsonWithList(head, 'list', taken(items), () => tail))).toBe(
    `${JSON.stringify({ ...head, list: items, ...tail }, null, 2)}\n`,
  );
});

test('keeps nothing of what was taken, and asks for the end at the end', async () => {
  let count = 0;
  async function* counted(): AsyncGenerator<object, void, undefined> {
    for (; count < 3; count += 1) {
      await Promise.resolve();
      yield { count };
    }
  }
  const pieces = jsonWithList({ name: 'a' }, 'list', counted(), () => ({ count }));
  await pieces.next();
  expect((await pieces.next()).value).toContain('"count": 0');
  expect(count).toBe(0);
  expect(await written(pieces)).toMatch(/\],\n {2}"count": 3\n\}\n$/);
});
