import { describe, expect, it } from 'vitest';

import type { HttpResponse } from '../../../src/registry/http/http.js';
import { closingLocation, heldBytes, uploadLocation } from '../../../src/registry/push/blob-upload.js';
import { digestOf } from '../../../src/spec/index.js';
import { pushFixture, sourceOf } from '../../support/push-fixture.js';
import { blobOf, failure, patterned } from '../../support/registry-fixture.js';
import { secret } from '../../support/secrets.js';
import { ScriptedRegistry } from '../../support/scripted-registry.js';
import { UploadRegistry } from '../../support/upload-registry.js';

function answer(url: string, headers: Record<string, string>): HttpResponse {
  return {
    status: 202,
    url: new URL(url),
    header: (name) => headers[name],
    headers: (name) => [headers[name] ?? []].flat(),
    start: () => undefined,
    resume: () => undefined,
    destroy: () => undefined,
  };
}

const ASKED = 'https://quay.lan:8443/v2/team/app/blobs/uploads/';

describe('the address of an upload', () => {
  const rows: [name: string, location: string | undefined, expected: string | undefined][] = [
    ['absolute', 'https://quay.lan:8443/v2/u/1', 'https://quay.lan:8443/v2/u/1'],
    ['relative to the host', '/v2/u/1?state=a%2Bb', 'https://quay.lan:8443/v2/u/1?state=a%2Bb'],
    ['relative to what was asked', '1', `${ASKED}1`],
    ['at another host', 'https://bucket.lan/u/1?signed=x', 'https://bucket.lan/u/1?signed=x'],
    ['without TLS at the same host', 'http://quay.lan/v2/u/1?a=b', 'https://quay.lan:8443/v2/u/1?a=b'],
    ['without TLS at another port of it', 'http://quay.lan:5000/u/1', 'https://quay.lan:8443/u/1'],
    ['with a name and a fragment', 'https://me:pass@quay.lan:8443/u/1#x', 'https://quay.lan:8443/u/1'],
    ['absent', undefined, undefined],
    ['empty', ' ', undefined],
  ];
  it.each(rows)('%s', (_name, location, expected) => {
    const response = answer(ASKED, location === undefined ? {} : { location });
    expect(uploadLocation(response, 'POST')?.href).toBe(expected);
  });

  const faults: [name: string, location: string, code: string][] = [
    ['at another host without TLS', 'http://bucket.lan/u/1?signed=x', 'REDIRECT_REFUSED'],
    ['that is none', 'https://', 'PROTOCOL'],
    ['of another kind', 'file:///etc/passwd', 'PROTOCOL'],
  ];
  it.each(faults)('%s is refused', (_name, location, code) => {
    expect(() => uploadLocation(answer(ASKED, { location }), 'POST')).toThrow(
      expect.objectContaining({ code, message: expect.not.stringContaining('signed') as unknown }),
    );
  });
});

describe('the address that closes an upload', () => {
  const digest = digestOf(Buffer.from('x'));
  const closing = `digest=${encodeURIComponent(digest)}`;
  const rows: [name: string, location: string, expected: string][] = [
    ['without a query', 'https://quay.lan/u/1', `https://quay.lan/u/1?${closing}`],
    [
      'with a query, which stays as it is',
      'https://quay.lan/u/1?b=%2b&a=1+2',
      `https://quay.lan/u/1?b=%2b&a=1+2&${closing}`,
    ],
  ];
  it.each(rows)('%s', (_name, location, expected) => {
    expect(closingLocation(new URL(location), digest).href).toBe(expected);
  });
});

describe('what an upload holds', () => {
  const rows: [name: string, range: string | undefined, expected: number | undefined][] = [
    ['of some bytes', '0-99', 100],
    ['with a unit', 'bytes=0-99', 100],
    ['with a unit as in Content-Range', 'bytes 0-99', 100],
    ['of nothing', '0-0', 0],
    ['of nothing as others write it', '0--1', undefined],
    ['of bytes from the middle', '50-99', undefined],
    ['not said', undefined, undefined],
  ];
  it.each(rows)('%s', (_name, range, expected) => {
    expect(heldBytes(answer(ASKED, range === undefined ? {} : { range }))).toBe(expected);
  });
});

it('no credentials are shown to another origin that an upload goes to', async () => {
  const bytes = patterned(1000);
  const signature = secret('signature-of-an-upload');
  const password = secret('password-of-a-pusher');
  await using bucket = await ScriptedRegistry.start([]);
  bucket.expect({
    on: `PUT /u/1?signed=${signature}&digest=${encodeURIComponent(digestOf(bytes))}`,
    status: 201,
    expect: { authorization: undefined, 'content-length': '1000' },
  });
  const basic = `Basic ${Buffer.from(`pilot:${password}`).toString('base64')}`;
  await using registry = await UploadRegistry.start({
    location: () => `${bucket.origin}/u/1?signed=${signature}`,
    authorization: basic,
  });
  await using fixture = pushFixture(registry.address, {
    credentials: () => Promise.resolve({ username: 'pilot', password }),
  });
  expect(await fixture.pusher.push(blobOf(bytes), sourceOf(bytes).open)).toBe('pushed');
  expect(bucket.requests[0]?.bytes.equals(bytes)).toBe(true);
  expect(registry.headers.at(-1)?.authorization).toBe(basic);
});

it('a registry that gives no address is none', async () => {
  await using registry = await UploadRegistry.start({ location: () => '' });
  await using fixture = pushFixture(registry.address);
  const bytes = patterned(10);
  expect(await failure(fixture.pusher.push(blobOf(bytes), sourceOf(bytes).open))).toMatchObject({
    code: 'PROTOCOL',
    message: expect.stringContaining('does not say where to upload to') as unknown,
  });
});
