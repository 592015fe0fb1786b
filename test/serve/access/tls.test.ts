import { once } from 'node:events';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { createRegistryServer, type RegistryServer, TlsFiles } from '../../../src/serve/index.js';
import { selfSigned } from '../../support/self-signed.js';
import { MemorySource } from '../memory-source.js';

let directory: string;
let server: RegistryServer | undefined;
const errors: unknown[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'landfall-tls-'));
  errors.length = 0;
});

afterEach(async () => {
  await server?.close({ graceMs: 0 });
  server = undefined;
  await rm(directory, { recursive: true, force: true });
});

const certFile = (): string => join(directory, 'cert.pem');
const keyFile = (): string => join(directory, 'key.pem');

async function place({ cert, key }: { cert: string; key: string }): Promise<void> {
  await writeFile(join(directory, 'cert.new'), cert);
  await writeFile(join(directory, 'key.new'), key);
  await rename(join(directory, 'cert.new'), certFile());
  await rename(join(directory, 'key.new'), keyFile());
}

async function open(): Promise<TlsFiles> {
  return await TlsFiles.open({
    certFile: certFile(),
    keyFile: keyFile(),
    onChange: (identity) => server?.identify(identity),
    onError: (error) => errors.push(error),
  });
}

/** The common name that a server shows to who trusts it by this certificate. */
async function shownBy(port: number, ca: string): Promise<string> {
  const request = https.get({ host: '127.0.0.1', port, path: '/v2/', ca, agent: false });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  response.resume();
  expect(response.statusCode).toBe(200);
  return String((request.socket as TLSSocket).getPeerCertificate().subject.CN);
}

test('a server speaks TLS with a certificate from files, and with another one when they have changed', async () => {
  const [first, second] = [selfSigned('first'), selfSigned('second')];
  await place(first);
  using files = await open();
  server = createRegistryServer({ source: new MemorySource(), tls: files.identity });
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  expect(await shownBy(port, first.cert)).toBe('first');
  await files.reload();
  expect(await shownBy(port, first.cert)).toBe('first');
  await place(second);
  await files.reload();
  expect(await shownBy(port, second.cert)).toBe('second');
  expect(errors).toEqual([]);
});

test('files that do not belong together leave the certificate as it was', async () => {
  const first = selfSigned('first');
  await place(first);
  using files = await open();
  server = createRegistryServer({ source: new MemorySource(), tls: files.identity });
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  await place({ cert: selfSigned('second').cert, key: first.key });
  await files.reload();
  expect(errors).toMatchObject([{ code: 'INVALID_CONFIG' }]);
  expect(await shownBy(port, first.cert)).toBe('first');
});

test.each([
  ['that are not there', undefined],
  ['that are no PEM', { cert: 'x', key: 'y' }],
])('files %s are refused', async (_what, content) => {
  if (content !== undefined) await place(content);
  await expect(open()).rejects.toMatchObject({ code: 'INVALID_CONFIG' });
});
