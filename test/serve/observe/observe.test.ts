import { randomBytes } from 'node:crypto';

import { afterEach, describe, expect, test } from 'vitest';

import { MetricsServer } from '../../../src/observe/metrics-server.js';
import { accessFields, accessLine, type ServedRequest } from '../../../src/serve/index.js';
import { ServeMetrics } from '../../../src/observe/serve-metrics.js';
import { WritableRegistry } from '../push/writable-registry.js';

const REQUEST: ServedRequest = {
  method: 'GET',
  path: '/v2/team/app/manifests/1?ns=quay.io',
  status: 200,
  bytes: 619,
  receivedBytes: 0,
  startedAt: new Date(Date.UTC(2026, 1, 3, 4, 5, 6)),
  durationMs: 12.4,
  client: '192.0.2.7',
  httpVersion: '1.1',
};

describe('the line of a request', () => {
  test.each<[what: string, request: Partial<ServedRequest>, line: string]>([
    [
      'has what the combined format has',
      { user: 'pilot', userAgent: 'containerd/2.0', referer: 'http://x/' },
      '192.0.2.7 - pilot [03/Feb/2026:04:05:06 +0000] "GET /v2/team/app/manifests/1?ns=quay.io HTTP/1.1" 200 619 "http://x/" "containerd/2.0" 12ms',
    ],
    [
      'has a dash for what is not known',
      { client: '' },
      '- - - [03/Feb/2026:04:05:06 +0000] "GET /v2/team/app/manifests/1?ns=quay.io HTTP/1.1" 200 619 "-" "-" 12ms',
    ],
    [
      'cannot be forged',
      { path: '/"x', userAgent: 'a" 200 "b\\', user: 'a b' },
      '192.0.2.7 - a_b [03/Feb/2026:04:05:06 +0000] "GET /\\"x HTTP/1.1" 200 619 "-" "a\\" 200 \\"b\\\\" 12ms',
    ],
    [
      'holds no credentials',
      { path: 'http://pilot:harbour@x/v2/?token=harbour&n=1', referer: 'https://pilot:harbour@x/' },
      '192.0.2.7 - - [03/Feb/2026:04:05:06 +0000] "GET http://x/v2/?token=…&n=1 HTTP/1.1" 200 619 "https://x/" "-" 12ms',
    ],
  ])('%s', (_what, request, line) => {
    expect(accessLine({ ...REQUEST, ...request })).toBe(line);
  });

  test('has the same facts for programs', () => {
    const secret = { path: 'http://a:harbour@x/v2/', referer: 'http://a:harbour@x/' };
    const info = accessFields({ ...REQUEST, ...secret, user: 'pilot', userAgent: 'x', receivedBytes: 3 });
    expect(info).toEqual({
      client: '192.0.2.7',
      user: 'pilot',
      method: 'GET',
      path: 'http://x/v2/',
      status: 200,
      bytes: 619,
      receivedBytes: 3,
      durationMs: 12,
      userAgent: 'x',
      referer: 'http://x/',
    });
  });
});

describe('metrics', () => {
  let registry: WritableRegistry | undefined;

  afterEach(async () => {
    await registry?.[Symbol.asyncDispose]();
  });

  test('count requests, bytes and uploads', async () => {
    const metrics = new ServeMetrics({ version: '1.2.3' });
    registry = await WritableRegistry.start({
      onRequest: (request) => metrics.count(request),
      onSent: (bytes) => metrics.sent(bytes),
    });
    metrics.follow({ requests: () => 7, uploads: () => 3 });
    const bytes = randomBytes(100_000);
    const { digest } = await registry.pushBlob('team/app', bytes);
    await registry.send('GET', `/v2/team/app/blobs/${digest}`);
    await registry.send('GET', '/v2/team/app/manifests/none');
    await registry.send('PROPFIND', '/nowhere');
    await using server = await MetricsServer.listen({ host: '127.0.0.1', port: 0, metrics });
    const text = await (await fetch(`http://${server.address}/metrics`)).text();
    for (const line of [
      'landfall_serve_requests_total{method="POST",endpoint="uploads",status="201"} 1',
      'landfall_serve_requests_total{method="GET",endpoint="blobs",status="200"} 1',
      'landfall_serve_requests_total{method="GET",endpoint="manifests",status="404"} 1',
      'landfall_serve_requests_total{method="other",endpoint="page",status="405"} 1',
      'landfall_serve_requests_in_flight 7',
      'landfall_serve_uploads_in_flight 3',
      'landfall_build_info{version="1.2.3"',
    ]) {
      expect(text).toContain(line);
    }
    const value = (name: string): number => Number(new RegExp(`^${name} (\\d+)`, 'm').exec(text)?.[1]);
    expect(value('landfall_serve_received_bytes_total')).toBe(100_000);
    expect(value('landfall_serve_sent_bytes_total')).toBeGreaterThan(100_000);
    expect(value('process_resident_memory_bytes')).toBeGreaterThan(0);
  });

  test('are beside the health of the process, and nothing else', async () => {
    const metrics = new ServeMetrics({ version: '1' });
    await using server = await MetricsServer.listen({ host: '127.0.0.1', port: 0, metrics });
    const status = async (path: string, method = 'GET'): Promise<number> =>
      (await fetch(`http://${server.address}${path}`, { method })).status;
    expect(await status('/healthz')).toBe(200);
    expect(await status('/v2/')).toBe(404);
    expect(await status('/metrics', 'POST')).toBe(405);
  });

  test('are refused an address that is taken', async () => {
    const metrics = new ServeMetrics({ version: '1' });
    await using first = await MetricsServer.listen({ host: '127.0.0.1', port: 0, metrics });
    const port = Number(first.address.split(':')[1]);
    await expect(MetricsServer.listen({ host: '127.0.0.1', port, metrics })).rejects.toMatchObject({
      code: 'IN_USE',
    });
  });
});
