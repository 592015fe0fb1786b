import type { Tracing } from './tracing.js';

/** Whether the environment names an endpoint for traces (OpenTelemetry: OTLP exporter configuration). */
export function wantsTracing(env: Readonly<Record<string, string | undefined>>): boolean {
  const given = (name: string): boolean => (env[name] ?? '') !== '';
  return given('OTEL_EXPORTER_OTLP_ENDPOINT') || given('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT');
}

/** The tracing that the environment asks for. Its packages are loaded only then, since they are large. */
export async function openTracing(
  env: Readonly<Record<string, string | undefined>>,
  { version }: { readonly version: string },
): Promise<Tracing | undefined> {
  if (!wantsTracing(env)) return undefined;
  const { Tracing } = await import('./tracing.js');
  return new Tracing({ version });
}
