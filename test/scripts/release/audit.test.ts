import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { judgeAudit, parseAllowed } from '../../../scripts/release/audit.js';

// As `npm audit --json` prints it.
const FOUND = JSON.stringify({
  auditReportVersion: 2,
  vulnerabilities: {
    'leaky-boat': {
      name: 'leaky-boat',
      severity: 'high',
      via: [
        {
          source: 1092302,
          name: 'leaky-boat',
          title: 'It takes water',
          url: 'https://github.com/advisories/GHSA-aaaa-bbbb-cccc',
          severity: 'high',
          range: '<2.0.0',
        },
      ],
    },
    harbour: { name: 'harbour', severity: 'high', via: ['leaky-boat'] },
  },
});
const CLEAN = JSON.stringify({ auditReportVersion: 2, vulnerabilities: {} });
const ALLOWED = [{ advisory: 'GHSA-aaaa-bbbb-cccc', reason: 'it is never in water' }];

describe('an audit', () => {
  it('is clean', () => {
    expect(judgeAudit(CLEAN, [])).toEqual({ offered: true, unexplained: [], explained: [], obsolete: [] });
  });

  it('tells what nobody has explained, once', () => {
    expect(judgeAudit(FOUND, [])).toMatchObject({
      unexplained: ['GHSA-aaaa-bbbb-cccc: leaky-boat: It takes water (high)'],
      explained: [],
    });
  });

  it('tells what is explained, and which explanations are needed no more', () => {
    expect(judgeAudit(FOUND, ALLOWED)).toMatchObject({
      unexplained: [],
      explained: ['GHSA-aaaa-bbbb-cccc: it is never in water'],
      obsolete: [],
    });
    expect(judgeAudit(CLEAN, ALLOWED)).toMatchObject({ obsolete: ['GHSA-aaaa-bbbb-cccc'] });
  });

  it('is not offered everywhere', () => {
    const message =
      '405 Method Not Allowed - POST https://registry.example/-/npm/v1/security/advisories/bulk';
    expect(judgeAudit(JSON.stringify({ message, statusCode: 405 }), [])).toEqual({
      offered: false,
      why: '405 Method Not Allowed - POST the registry',
    });
  });

  it.each([
    ['the registry is ill', JSON.stringify({ message: '503 Service Unavailable', statusCode: 503 })],
    ['it cannot be reached', JSON.stringify({ message: 'request to https://registry.example failed' })],
    ['npm prints something else', '[]'],
  ])('fails where %s', (_how, json) => {
    expect(() => judgeAudit(json, [])).toThrow('npm audit');
  });
});

describe('the explained advisories', () => {
  it('are a list with a reason each, as in the repository', () => {
    expect(parseAllowed(JSON.stringify(ALLOWED))).toEqual(ALLOWED);
    expect(() => parseAllowed(readFileSync('scripts/release/audit-allowed.json', 'utf8'))).not.toThrow();
  });

  it.each(['{}', '[1]', '[{"advisory":"GHSA-a"}]', '[{"advisory":"GHSA-a","reason":""}]'])(
    'cannot be %s',
    (text) => {
      expect(() => parseAllowed(text)).toThrow('explained advisor');
    },
  );
});
