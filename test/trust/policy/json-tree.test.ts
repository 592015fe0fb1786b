import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { type JsonNode, readJsonTree } from '../../../src/trust/policy/policy-json.js';

/** What the tree has of a value; of what is neither text nor holds any, nothing. */
function valueOf(node: JsonNode): unknown {
  switch (node.type) {
    case 'object':
      return node.fields.map(({ key, value }) => [key, valueOf(value)]);
    case 'array':
      return node.items.map(valueOf);
    case 'string':
      return node.value;
    case 'other':
      return null;
  }
}

/** The same of what JSON.parse makes of it. */
function expected(value: unknown): unknown {
  if (Array.isArray(value)) return [...(value as unknown[])].map(expected);
  if (typeof value === 'string') return value;
  if (typeof value !== 'object' || value === null) return null;
  return Object.entries(value).map(([key, item]) => [key, expected(item)]);
}

/** All strings and keys in it, each cut out of the text at its offset. */
function stringsIn(node: JsonNode, json: string): readonly (readonly [string, string])[] {
  const cut = (offset: number, text: string): readonly [string, string] => [
    text,
    json.slice(offset, offset + JSON.stringify(text).length),
  ];
  switch (node.type) {
    case 'object':
      return node.fields.flatMap(({ key, offset, value }) => [cut(offset, key), ...stringsIn(value, json)]);
    case 'array':
      return node.items.flatMap((item) => stringsIn(item, json));
    case 'string':
      return [cut(node.offset, node.value)];
    case 'other':
      return [];
  }
}

describe('the tree of a JSON text', () => {
  const space = fc.constantFrom(undefined, 1, '\t', '\r\n ');

  it('has the values that JSON.parse has, in their order', () => {
    // Names that are numbers are in an order of their own there.
    const manifests = fc.object({ key: fc.string().map((key) => `k${key}`), maxDepth: 5 });
    fc.assert(
      fc.property(manifests, space, (document, indent) => {
        const json = JSON.stringify(document, null, indent).replaceAll(',', ' ,').replaceAll('\r', '\r\n');
        expect(valueOf(readJsonTree(json))).toEqual(expected(JSON.parse(json)));
      }),
    );
  });

  it('knows where each of its strings stands', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), space, (value, indent) => {
        const json = JSON.stringify(value, null, indent);
        for (const [text, there] of stringsIn(readJsonTree(json), json)) expect(JSON.parse(there)).toBe(text);
      }),
    );
  });

  it('has each of two fields of one name', () => {
    expect(readJsonTree(' {"a": 1, "\\u0061": "b" } ')).toEqual({
      offset: 1,
      type: 'object',
      fields: [
        { key: 'a', offset: 2, value: { offset: 7, type: 'other' } },
        { key: 'a', offset: 10, value: { offset: 20, type: 'string', value: 'b' } },
      ],
    });
  });

  it.each<[string, string]>([
    ['white space', ' '.repeat(1_000_000)],
    ['a string', `"${'x'.repeat(1_000_000)}"`],
    ['escapes', `"${'\\n\\"\\\\'.repeat(200_000)}"`],
    ['numbers', `[${'1,'.repeat(500_000)}1]`],
    ['digits', '1'.repeat(1_000_000)],
  ])('is read of a long text: %s', (_name, text) => {
    const json = `["before",${text.trim() === '' ? `${text}1` : text},"after"]`;
    const tree = readJsonTree(json);
    expect(tree.type === 'array' && tree.items.at(-1)).toEqual({
      offset: json.length - 8,
      type: 'string',
      value: 'after',
    });
    expect(tree.type === 'array' && tree.items.length).toBe(3);
  });
});
