/** Whether the environment names an endpoint for traces (OpenTelemetry: OTLP exporter configuration). */
export function wantsTracing(env: Readonly<Record<string, string | undefined>>): boolean {
  const given = (name: string): boolean => (env[name] ?? '') !== '';
  return given('OTEL_EXPORTER_OTLP_ENDPOINT') || given('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT');
}
