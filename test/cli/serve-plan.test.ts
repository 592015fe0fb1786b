import { describe, expect, test } from 'vitest';

import { type ServeFlags, servePlan } from '../../src/cli/commands/serve-plan.js';

describe('the flags of serve', () => {
  test.each<[what: string, source: string | undefined, flags: ServeFlags]>([
    ['a layout that is to be written', 'oci:mirror', { writable: true }],
    ['a certificate without its key', undefined, { tlsCert: 'cert.pem' }],
    ['a key without its certificate', undefined, { tlsKey: 'key.pem' }],
    ['reading without a password where there are none', undefined, { anonymousRead: true }],
    ['an address that is none', undefined, { listen: 'everywhere' }],
    ['metrics at an address that is none', undefined, { metrics: 'here' }],
    ['a time for clients that is none', undefined, { clientTimeout: 'soon' }],
    ['less than a second for clients', undefined, { clientTimeout: '500ms' }],
  ])('refuse %s', (_what, source, flags) => {
    expect(() => servePlan(source, flags)).toThrow(expect.objectContaining({ code: 'INVALID_CONFIG' }));
  });

  test('say what is asked for, and nothing of what is not', () => {
    expect(servePlan(undefined, {})).toMatchObject({
      at: { host: '127.0.0.1', port: 5000 },
      writable: false,
      limits: {},
      metricsAt: undefined,
    });
    expect(
      servePlan(undefined, {
        listen: ':5001',
        writable: true,
        metrics: '127.0.0.1:0',
        maxUploadSize: 1000,
        maxRequests: 10,
        maxConnections: 20,
        clientTimeout: '10s',
      }),
    ).toMatchObject({
      at: { host: '0.0.0.0', port: 5001 },
      writable: true,
      limits: { uploadBytes: 1000, requests: 10, connections: 20, stallMs: 10_000, headMs: 10_000 },
      metricsAt: { host: '127.0.0.1', port: 0 },
    });
  });
});
