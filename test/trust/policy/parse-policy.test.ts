import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { TrustError } from '../../../src/errors.js';
import { parsePolicy } from '../../../src/trust/policy/parse-policy.js';
import { POLICY_ROWS } from '../../support/policy-rows.js';

const FILE = '/etc/containers/policy.json';
const parsed = (text: string | Buffer): ReturnType<typeof parsePolicy> =>
  parsePolicy(Buffer.from(text), FILE);
const refusalOf = async (text: string | Buffer): Promise<TrustError> => {
  const result: unknown = await parsed(text).catch((error: unknown) => error);
  if (result instanceof TrustError) return result;
  throw new Error(`not refused, but ${JSON.stringify(result)}`);
};

describe('a policy', () => {
  it.each(POLICY_ROWS.filter(({ fault }) => fault === undefined))('is one with $name', async ({ text }) => {
    expect((await parsed(text)).default.requirements.length).toBeGreaterThan(0);
  });

  it.each(POLICY_ROWS.filter(({ fault }) => fault !== undefined))(
    'is none with $name',
    async ({ text, fault }) => {
      const error = await refusalOf(text);
      expect(error.code).toBe('POLICY_REJECTED');
      expect(error.message.startsWith(`${FILE}:`)).toBe(true);
      const place = error.message.slice(FILE.length + 1);
      expect(place).toMatch(fault ?? /^$/);
      expect(error.details).toEqual({ policy: FILE, line: Number(place.split(':', 1)[0]) });
      expect(error.hint).toContain('refuses every image');
    },
  );

  it('has rows whose names differ, so that each is told apart', () => {
    const names = POLICY_ROWS.map(({ name, fault }) => `${name} ${String(fault === undefined)}`);
    expect(new Set(names).size).toBe(names.length);
  });

  it('keeps all that stands in it', async () => {
    const text = `{
      "default": [{"type": "reject"}],
      "transports": {
        "docker": {
          "": [{"type": "insecureAcceptAnything"}],
          "quay.io/team":
            [{
              "type": "sigstoreSigned",
              "fulcio": {"caData": "Y2E=", "oidcIssuer": "https://i.example", "subjectEmail": "a@b.c"},
              "rekorPublicKeyPaths": ["/a.pub",
                "/b.pub"]
            }, {
              "type": "sigstoreSigned", "keyDatas": ["YQ==", "Yg=="],
              "signedIdentity": {"type": "remapIdentity", "prefix": "quay.io", "signedPrefix": "docker.io/x"}
            }]
        },
        "oci": {"/srv": [{"type": "sigstoreSigned", "pki": {
          "caRootsPath": "/roots.pem", "caIntermediatesPath": "/more.pem", "subjectHostname": "h.example"
        }}, {"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"}]}
      }
    }`;
    const signedIdentity = { type: 'matchRepoDigestOrExact' };
    expect(await parsed(text)).toEqual({
      default: { requirements: [{ type: 'reject' }], line: 2 },
      transports: new Map([
        [
          'docker',
          new Map([
            ['', { requirements: [{ type: 'insecureAcceptAnything' }], line: 5 }],
            [
              'quay.io/team',
              {
                requirements: [
                  {
                    type: 'sigstoreSigned',
                    signers: {
                      kind: 'fulcio',
                      ca: { data: Buffer.from('ca'), line: 9 },
                      oidcIssuer: 'https://i.example',
                      subjectEmail: 'a@b.c',
                    },
                    rekorKeys: [
                      { path: '/a.pub', line: 10 },
                      { path: '/b.pub', line: 11 },
                    ],
                    signedIdentity,
                  },
                  {
                    type: 'sigstoreSigned',
                    signers: {
                      kind: 'keys',
                      keys: [
                        { data: Buffer.from('a'), line: 13 },
                        { data: Buffer.from('b'), line: 13 },
                      ],
                    },
                    rekorKeys: [],
                    signedIdentity: { type: 'remapIdentity', prefix: 'quay.io', signedPrefix: 'docker.io/x' },
                  },
                ],
                line: 6,
              },
            ],
          ]),
        ],
        [
          'oci',
          new Map([
            [
              '/srv',
              {
                requirements: [
                  {
                    type: 'sigstoreSigned',
                    signers: {
                      kind: 'pki',
                      roots: { path: '/roots.pem', line: 18 },
                      intermediates: { path: '/more.pem', line: 18 },
                      subjectHostname: 'h.example',
                    },
                    rekorKeys: [],
                    signedIdentity,
                  },
                  { type: 'signedBy' },
                ],
                line: 17,
              },
            ],
          ]),
        ],
      ]),
    });
  });

  it('has scopes and transports of any name', async () => {
    const text =
      '{"default": [{"type": "reject"}], "transports": {"__proto__": {"constructor": [{"type": "reject"}]}}}';
    expect([...(await parsed(text)).transports].map(([name, scopes]) => [name, ...scopes.keys()])).toEqual([
      ['__proto__', 'constructor'],
    ]);
  });

  it('is counted in lines and in characters, whatever these are', async () => {
    const text = '{\r\n"default": [{"type": "reject"}],\r\n"transports": {"dökər": {"😀": [{"type": "x"}]}}}';
    expect((await refusalOf(text)).message).toBe(
      `${FILE}:3:42: there is no requirement "x"; it is "insecureAcceptAnything", "reject", "sigstoreSigned", "signedBy" or "signedBaseLayer"`,
    );
  });

  const valid = POLICY_ROWS.filter(({ fault, text }) => fault === undefined && text.length < 2000).map(
    ({ text }) => Buffer.from(text),
  );
  const isPolicyOrRefused = async (bytes: Buffer): Promise<boolean> => {
    try {
      return (await parsePolicy(bytes, FILE)).default.requirements.length > 0;
    } catch (error) {
      return error instanceof TrustError;
    }
  };

  it('is what any bytes are, or they are refused', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), (bytes) => isPolicyOrRefused(Buffer.from(bytes))),
    );
    await fc.assert(fc.asyncProperty(fc.json(), (text) => isPolicyOrRefused(Buffer.from(text))));
  });

  it('is what any cut of one is, or it is refused', async () => {
    const cut = fc.record({
      policy: fc.constantFrom(...valid),
      at: fc.nat(200),
      length: fc.nat(20),
      into: fc.oneof(
        fc.constantFrom('{', '}', '[', ']', ',', ':', '"', '\\', '/', '\n', '0', '.', '-', 'e'),
        fc.string({ maxLength: 4 }),
      ),
    });
    await fc.assert(
      fc.asyncProperty(cut, ({ policy, at, length, into }) =>
        isPolicyOrRefused(
          Buffer.concat([policy.subarray(0, at), Buffer.from(into), policy.subarray(at + length)]),
        ),
      ),
      { numRuns: 2000 },
    );
  });
});
