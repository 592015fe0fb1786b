import { describe, expect, it } from 'vitest';

import { parsePayload } from '../../../src/trust/signatures/simple-signing.js';
import { SUBJECT } from '../../support/checked-signature.js';
import { simplePayload } from '../../support/simple-signing.js';

interface Payload {
  critical: Record<string, unknown> & { image: object; identity: object };
  optional: unknown;
}

/** The payload that is right, changed. */
function payload(change: (payload: Payload) => unknown): Buffer {
  return Buffer.from(JSON.stringify(change(JSON.parse(simplePayload(SUBJECT).toString()) as Payload)));
}

describe('a payload of cosign', () => {
  it.each<[string, Buffer]>([
    ['as cosign writes it', simplePayload(SUBJECT)],
    ['with nothing optional', payload((all) => ({ ...all, optional: {} }))],
    ['with what peers add', payload((all) => ({ ...all, optional: { creator: 'c', timestamp: 1e9 } }))],
    ['with what nobody knows', payload((all) => ({ ...all, optional: { commit: ['x', { y: 1 }] } }))],
  ])('is read: %s', (_name, bytes) => {
    expect(parsePayload(bytes)).toEqual({ digest: SUBJECT, identity: 'quay.io/team/app' });
  });

  const text = simplePayload(SUBJECT).toString();
  it.each<[string, Buffer, string | RegExp]>([
    ['no JSON', Buffer.from('{'), 'the payload is not JSON'],
    ['no UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'the payload is not UTF-8'],
    ['no object', Buffer.from('[]'), 'its payload is no JSON object'],
    ['something behind it', Buffer.from(`${text} {}`), 'the payload is not JSON'],
    [
      'a key twice',
      Buffer.from(text.replace('"optional"', '"critical":{},"optional"')),
      'the payload has the same key twice in one object',
    ],
    [
      'a digest twice',
      Buffer.from(
        text.replace('"docker-manifest-digest"', `"docker-manifest-digest":"x","docker-manifest-digest"`),
      ),
      'the payload has the same key twice in one object',
    ],
    ['a field too many', payload((all) => ({ ...all, more: 1 })), 'its payload has the unknown field "more"'],
    ['no optional', payload(({ critical }) => ({ critical })), 'its payload has no "optional"'],
    ['optional text', payload((all) => ({ ...all, optional: 'x' })), /is no JSON object$/],
    [
      'a creator of no text',
      payload((all) => ({ ...all, optional: { creator: 1 } })),
      /creator.* is no string$/,
    ],
    ['half a second', payload((all) => ({ ...all, optional: { timestamp: 1.5 } })), /is no whole number$/],
    [
      'another type',
      payload((all) => ({ ...all, critical: { ...all.critical, type: 'atomic container signature' } })),
      'it is "atomic container signature", not a cosign container image signature',
    ],
    [
      'a critical field too many',
      payload((all) => ({ ...all, critical: { ...all.critical, more: 1 } })),
      /has the unknown field "more"$/,
    ],
    [
      'an image field too many',
      payload((all) => ({
        ...all,
        critical: { ...all.critical, image: { ...all.critical.image, more: 1 } },
      })),
      /has the unknown field "more"$/,
    ],
    [
      'an identity field too many',
      payload((all) => ({
        ...all,
        critical: { ...all.critical, identity: { ...all.critical.identity, more: 1 } },
      })),
      /has the unknown field "more"$/,
    ],
    [
      'no digest',
      payload((all) => ({ ...all, critical: { ...all.critical, image: { 'docker-manifest-digest': 'x' } } })),
      'its payload has no digest that is one',
    ],
    [
      'a reference of no text',
      payload((all) => ({ ...all, critical: { ...all.critical, identity: { 'docker-reference': null } } })),
      'the reference of its payload is no string',
    ],
    [
      'a field in other letters',
      Buffer.from(text.replace('"critical"', '"Critical"')),
      'its payload has the unknown field "Critical"',
    ],
    ['nesting without end', Buffer.from('['.repeat(100) + ']'.repeat(100)), /nested 100 deep/],
  ])('is refused with %s', (_name, bytes, reason) => {
    expect(() => parsePayload(bytes)).toThrow(reason);
  });
});
