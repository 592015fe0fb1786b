import { context, type Span, SpanStatusCode, trace, type Tracer } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor, type SpanExporter } from '@opentelemetry/sdk-trace-base';
import type { PullEvent } from '../../engine/pull/pull-report.js';
import { isLandfallError } from '../../errors.js';
import type { EndedPull, Pulls } from '../pulls/pulls.js';

export interface TracingOptions {
  /** Of this program. */
  readonly version: string;
  /** Default: OTLP over HTTP, to where the variables of OpenTelemetry say. */
  readonly exporter?: SpanExporter;
}

/** The spans of one pull. */
interface TracedPull {
  readonly span: Span;
  /** By digest. */
  readonly blobs: Map<string, Span>;
  readonly layers: Map<string, Span>;
}

/**
 * A span for each pull, and below it one for each blob that is downloaded and for each layer that is
 * unpacked.
 */
export class Tracing implements AsyncDisposable {
  readonly #provider: BasicTracerProvider;
  readonly #tracer: Tracer;
  readonly #pulls = new Map<string, TracedPull>();

  constructor({ version, exporter = new OTLPTraceExporter() }: TracingOptions) {
    this.#provider = new BasicTracerProvider({
      resource: resourceFromAttributes({ 'service.name': 'landfall', 'service.version': version }),
      spanProcessors: [new BatchSpanProcessor(exporter)],
    });
    this.#tracer = this.#provider.getTracer('landfall', version);
  }

  /** Traces what these pulls do from now on. */
  follow(pulls: Pulls): void {
    pulls.on('begun', (id, reference) => {
      const span = this.#tracer.startSpan('pull', {
        attributes: { 'landfall.pull.id': id, 'landfall.reference': reference },
      });
      this.#pulls.set(id, { span, blobs: new Map(), layers: new Map() });
    });
    pulls.on('event', (id, event) => {
      const pull = this.#pulls.get(id);
      if (pull !== undefined) this.#follow(pull, event);
    });
    pulls.on('ended', (ended) => this.#end(ended));
  }

  /** Sends what was not sent. */
  async [Symbol.asyncDispose](): Promise<void> {
    // Where the collector is away, there is nowhere to report that.
    await this.#provider.shutdown().catch(() => undefined);
  }

  #follow(pull: TracedPull, event: PullEvent): void {
    if (event.type === 'resolved') pull.span.setAttribute('landfall.digest', event.digest);
    if (event.type === 'blob') {
      const { digest, size, role, state } = event;
      if (state === 'downloading') this.#begin(pull, pull.blobs, 'blob', { digest, role, size });
      if (state === 'retrying') pull.blobs.get(digest)?.addEvent('retrying');
      if (state === 'done') endOf(pull.blobs, digest);
    }
    if (event.type === 'layer') {
      const { digest, chainId, state } = event;
      if (state === 'unpacking') this.#begin(pull, pull.layers, 'layer', { digest, chain_id: chainId });
      if (state === 'committed') endOf(pull.layers, digest);
    }
  }

  #begin(
    pull: TracedPull,
    spans: Map<string, Span>,
    name: string,
    attributes: { readonly digest: string } & Readonly<Record<string, string | number>>,
  ): void {
    if (spans.has(attributes.digest)) return;
    const named = Object.entries(attributes).map(([key, value]) => [`landfall.${key}`, value] as const);
    const parent = trace.setSpan(context.active(), pull.span);
    spans.set(
      attributes.digest,
      this.#tracer.startSpan(name, { attributes: Object.fromEntries(named) }, parent),
    );
  }

  #end({ id, outcome, progress }: EndedPull): void {
    const pull = this.#pulls.get(id);
    if (pull === undefined) return;
    this.#pulls.delete(id);
    for (const spans of [pull.blobs, pull.layers])
      for (const digest of [...spans.keys()]) endOf(spans, digest);
    pull.span.setAttribute('landfall.downloaded_bytes', progress.downloadedBytes);
    if ('error' in outcome) {
      const { error } = outcome;
      const code = isLandfallError(error) ? error.code : 'INTERNAL';
      pull.span.setAttribute('error.type', code);
      pull.span.setStatus({ code: SpanStatusCode.ERROR, message: code });
    }
    pull.span.end();
  }
}

function endOf(spans: Map<string, Span>, digest: string): void {
  spans.get(digest)?.end();
  spans.delete(digest);
}
