import { SpanStatusCode } from '@opentelemetry/api';
import { InMemorySpanExporter, type ReadableSpan } from '@opentelemetry/sdk-trace-base';
import { EventEmitter } from 'node:events';
import { beforeEach, describe, expect, it } from 'vitest';
import { Tracing } from '../../../src/daemon/observe/tracing.js';
import { wantsTracing } from '../../../src/daemon/observe/open-tracing.js';
import type { Pulls } from '../../../src/daemon/pulls/pulls.js';
import { RegistryError } from '../../../src/errors.js';

const REFERENCE = 'docker.io/library/alpine:3';
const DIGEST = `sha256:${'1'.repeat(64)}`;

describe('the traces of a daemon', () => {
  let exporter: InMemorySpanExporter;
  let pulls: EventEmitter;
  let tracing: Tracing;
  beforeEach(() => {
    exporter = new InMemorySpanExporter();
    pulls = new EventEmitter();
    tracing = new Tracing({ version: '1.2.3', exporter });
    tracing.follow(pulls as unknown as Pulls);
  });

  const emit = (event: object): boolean =>
    pulls.emit('event', '7', { reference: REFERENCE, at: 1, ...event });
  const end = (outcome: object): boolean =>
    pulls.emit('ended', { id: '7', outcome, progress: { downloadedBytes: 5 } });
  /** Before the exporter forgets them, which it does when it ends. */
  const spans = async (): Promise<readonly ReadableSpan[]> => {
    exporter.shutdown = () => Promise.resolve();
    await tracing[Symbol.asyncDispose]();
    return exporter.getFinishedSpans();
  };

  it('have a span for a pull, and below it its blobs and layers', async () => {
    pulls.emit('begun', '7', REFERENCE);
    emit({ type: 'resolved', digest: DIGEST, mediaType: 'x', size: 1 });
    emit({ type: 'blob', role: 'layer', digest: DIGEST, size: 5, state: 'downloading', bytes: 0 });
    emit({ type: 'layer', digest: DIGEST, diffId: DIGEST, chainId: DIGEST, state: 'unpacking', bytes: 0 });
    emit({ type: 'blob', role: 'layer', digest: DIGEST, size: 5, state: 'retrying', bytes: 2 });
    emit({ type: 'blob', role: 'layer', digest: DIGEST, size: 5, state: 'done', bytes: 5 });
    emit({ type: 'layer', digest: DIGEST, diffId: DIGEST, chainId: DIGEST, state: 'committed', bytes: 5 });
    end({ result: {} });
    const found = await spans();
    const pull = found.find(({ name }) => name === 'pull');
    expect(pull?.attributes).toEqual({
      'landfall.pull.id': '7',
      'landfall.reference': REFERENCE,
      'landfall.digest': DIGEST,
      'landfall.downloaded_bytes': 5,
    });
    expect(pull?.resource.attributes).toMatchObject({
      'service.name': 'landfall',
      'service.version': '1.2.3',
    });
    const below = found.filter(({ name }) => name !== 'pull');
    expect(below.map(({ name }) => name).sort()).toEqual(['blob', 'layer']);
    expect(
      below.every(({ parentSpanContext }) => parentSpanContext?.spanId === pull?.spanContext().spanId),
    ).toBe(true);
    expect(below.find(({ name }) => name === 'blob')?.events.map(({ name }) => name)).toEqual(['retrying']);
  });

  it('say why a pull failed, by its code, and leave no span open', async () => {
    pulls.emit('begun', '7', REFERENCE);
    emit({ type: 'blob', role: 'layer', digest: DIGEST, size: 5, state: 'downloading', bytes: 0 });
    end({ error: new RegistryError('UNAVAILABLE', 'a message that need not leave the machine') });
    const found = await spans();
    expect(found).toHaveLength(2);
    const pull = found.find(({ name }) => name === 'pull');
    expect(pull?.status).toEqual({ code: SpanStatusCode.ERROR, message: 'UNAVAILABLE' });
    expect(pull?.attributes['error.type']).toBe('UNAVAILABLE');
  });

  it('are wanted where the environment names an endpoint', () => {
    expect(wantsTracing({})).toBe(false);
    expect(wantsTracing({ OTEL_EXPORTER_OTLP_ENDPOINT: '' })).toBe(false);
    expect(wantsTracing({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' })).toBe(true);
    expect(wantsTracing({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://127.0.0.1:4318/v1/traces' })).toBe(
      true,
    );
  });
});
