import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { RegistryError } from '../../src/errors.js';
import { BlobBody, type BlobBodyOptions } from '../../src/registry/blob-body.js';
import type { BodySink, BodySource } from '../../src/registry/http/http.js';
import { parseReference } from '../../src/spec/index.js';
import { blobOf, fastClient, patterned } from '../support/registry-fixture.js';
import { ScriptedRegistry } from '../support/scripted-registry.js';

const KIBIBYTE = 1024;

/** What a connection gives, as the test says. */
class FakeSource implements BodySource {
  sink: BodySink | undefined;
  resumed = 0;
  destroyed = 0;

  start(sink: BodySink): void {
    this.sink = sink;
  }
  resume(): void {
    this.resumed += 1;
  }
  destroy(): void {
    this.destroyed += 1;
  }

  /** Whether more may come. */
  data(chunk: Buffer): boolean {
    return this.sink?.data(chunk) ?? false;
  }
}

interface Made {
  readonly source: FakeSource;
  readonly body: BlobBody;
  readonly over: object[];
}

function made(length: number, options: Partial<BlobBodyOptions> = {}): Made {
  const source = new FakeSource();
  const over: object[] = [];
  const body = new BlobBody(source, {
    skip: 0,
    length,
    surplus: () => new Error('more than that'),
    shortfall: (received) => new Error(`only ${received}`),
    onOver: (outcome) => over.push(outcome),
    ...options,
  });
  return { source, body, over };
}

describe('a body', () => {
  it('gives all chunks that have come since the last call, the same and not copies', async () => {
    const { source, body } = made(12);
    const chunks = ['one', 'two', 'six', 'ten'].map((text) => Buffer.from(text));
    for (const chunk of chunks.slice(0, 3)) source.data(chunk);
    const batch = await body.next();
    expect(batch).toHaveLength(3);
    for (const [index, chunk] of chunks.slice(0, 3).entries()) expect(batch?.[index]).toBe(chunk);
    const waiting = body.next();
    source.data(chunks[3] ?? Buffer.alloc(0));
    expect((await waiting)?.[0]).toBe(chunks[3]);
    source.sink?.end();
    expect(await body.next()).toBeUndefined();
    expect(await body.next()).toBeUndefined();
  });

  it('leaves out what was not asked for, at the start and at the end, and then closes the connection', async () => {
    const { source, body, over } = made(4, { skip: 5, surplus: 'ignore' });
    source.data(Buffer.from('012'));
    await body.begun;
    source.data(Buffer.from('3456'));
    expect(String((await body.next())?.[0])).toBe('56');
    expect(source.destroyed).toBe(0);
    source.data(Buffer.from('789'));
    expect(source.destroyed).toBe(1);
    expect(String((await body.next())?.[0])).toBe('78');
    expect(await body.next()).toBeUndefined();
    expect(over).toEqual([{ bytes: 4, whole: true }]);
  });

  it('has arrived with the first byte that was asked for', async () => {
    const { source, body } = made(4, { skip: 5, surplus: 'ignore' });
    const states: string[] = [];
    void body.begun.then(() => states.push('begun'));
    void body.arrived.then(() => states.push('arrived'));
    source.data(Buffer.from('01234'));
    await body.begun;
    expect(states).toEqual(['begun']);
    source.data(Buffer.from('5'));
    await body.arrived;
    expect(states).toEqual(['begun', 'arrived']);
  });

  it('reads no further ahead than half a mebibyte and a chunk, and on when that was taken', async () => {
    const { source, body } = made(1e9);
    const chunk = Buffer.alloc(64 * KIBIBYTE);
    for (let nth = 1; nth < 8; nth += 1) expect(source.data(chunk)).toBe(true);
    expect(source.data(chunk)).toBe(false);
    // Asked once more after a pause, as the one that was parsed already.
    expect(source.data(chunk)).toBe(false);
    expect(source.resumed).toBe(0);
    expect(await body.next()).toHaveLength(9);
    expect(source.resumed).toBe(1);
    expect(source.data(chunk)).toBe(true);
  });

  it('reads ahead no more than so many chunks, however small', () => {
    const { source } = made(1e9);
    let chunks = 1;
    while (source.data(Buffer.alloc(1)) && chunks < 5000) chunks += 1;
    expect(chunks).toBe(1024);
  });

  it('holds nothing back from a reader that waits', async () => {
    const { source, body } = made(1e9);
    for (let nth = 0; nth < 3; nth += 1) {
      const waiting = body.next();
      expect(source.data(Buffer.alloc(600 * KIBIBYTE))).toBe(true);
      expect(await waiting).toHaveLength(1);
    }
  });

  it('gives what has come before the error that ended it', async () => {
    const { source, body, over } = made(10);
    source.data(Buffer.from('12345'));
    const error = new RegistryError('UNAVAILABLE', 'cut');
    source.sink?.error(error);
    expect(String((await body.next())?.[0])).toBe('12345');
    await expect(body.next()).rejects.toBe(error);
    await expect(body.next()).rejects.toBe(error);
    expect(over).toEqual([{ bytes: 5, error, slow: false }]);
  });

  it.each<[name: string, send: (source: FakeSource) => void, message: string]>([
    ['short', ({ sink }) => sink?.end(), 'only 3'],
    ['long', (source) => source.data(Buffer.from('12345678')), 'more than that'],
  ])('fails when it is too %s', async (_name, send, message) => {
    const { source, body, over } = made(10);
    source.data(Buffer.from('123'));
    send(source);
    const read = async (): Promise<void> => {
      while ((await body.next()) !== undefined);
    };
    await expect(read()).rejects.toThrow(message);
    expect(source.destroyed).toBe(1);
    expect(over).toHaveLength(1);
  });

  it('that fails before its first byte has not begun', async () => {
    const { source, body } = made(10);
    source.sink?.error(new Error('cut'));
    await expect(body.begun).rejects.toThrow('cut');
    await expect(body.arrived).rejects.toThrow('cut');
  });

  it('that is destroyed closes the connection, gives nothing more, and lets nobody wait', async () => {
    const { source, body, over } = made(10);
    const waiting = body.next();
    body.destroy();
    body.destroy();
    expect(await waiting).toBeUndefined();
    expect(source.destroyed).toBeGreaterThan(0);
    expect(over).toEqual([{ bytes: 0 }]);
    const other = made(10);
    other.source.data(Buffer.from('123'));
    other.body.destroy();
    expect(await other.body.next()).toBeUndefined();
  });

  it('over HTTP gives bytes that are never written again', async () => {
    const bytes = patterned(3_000_000);
    const blob = blobOf(bytes);
    await using registry = await ScriptedRegistry.start([
      { on: `GET /v2/team/app/blobs/${blob.digest}`, body: bytes },
    ]);
    await using client = fastClient();
    const repository = client.repository(parseReference(`${registry.address}/team/app`));
    const { body } = await repository.fetchPart(blob, {});
    const kept: Uint8Array[] = [];
    for (let batch = await body.next(); batch !== undefined; batch = await body.next()) kept.push(...batch);
    expect(kept.length).toBeGreaterThan(1);
    expect(Buffer.concat(kept).equals(bytes)).toBe(true);
  });

  it('over HTTP holds back a host that nobody reads from', async () => {
    const bytes = randomBytes(32_000_000);
    const blob = blobOf(bytes);
    const path = `/v2/team/app/blobs/${blob.digest}`;
    await using registry = await ScriptedRegistry.start([{ on: `GET ${path}`, body: bytes }]);
    await using client = fastClient();
    const repository = client.repository(parseReference(`${registry.address}/team/app`));
    const { body } = await repository.fetchPart(blob, {});
    // Until nothing more goes out: what is between is in the buffers of both kernels.
    let sent = -1;
    for (let same = 0; same < 10;) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      same = registry.sent.total(path) === sent ? same + 1 : 0;
      sent = registry.sent.total(path);
    }
    expect(sent).toBeLessThan(bytes.length / 2);
    const first = await body.next();
    expect(first?.reduce((sum, { length }) => sum + length, 0)).toBeLessThan(KIBIBYTE * KIBIBYTE);
    let read = 0;
    for (let batch = first; batch !== undefined; batch = await body.next())
      read += batch.reduce((sum, { length }) => sum + length, 0);
    expect(read).toBe(bytes.length);
  });
});
