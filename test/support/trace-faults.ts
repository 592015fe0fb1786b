/** An event of a trace, as far as it is looked at. */
export interface AnyTraceEvent {
  readonly name: string;
  readonly ph: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts: number;
  readonly dur?: number;
}

/**
 * What a reader of traces would stumble over (Chromium's Trace Event Format): events out of order, spans of
 * one thread that overlap without one being inside of the other, processes and threads without a name, times
 * that are no whole microseconds.
 */
export function traceFaults(events: readonly AnyTraceEvent[]): readonly string[] {
  const faults: string[] = [];
  const named = new Set<string>();
  const open = new Map<string, number[]>();
  let before = -Infinity;
  for (const event of events) {
    const { name, ph, pid, tid, ts, dur } = event;
    const track = `${pid}/${tid}`;
    const fault = (what: string): void => void faults.push(`${what}: ${JSON.stringify(event)}`);
    if (!Number.isSafeInteger(ts) || ts < 0) fault('no moment');
    if (ph === 'M') {
      if (before > -Infinity) fault('a name that comes late');
      named.add(name === 'process_name' ? String(pid) : track);
      continue;
    }
    if (ts < before) fault('out of order');
    before = ts;
    if (!named.has(String(pid)) || (ph !== 'C' && !named.has(track))) fault('without a name');
    if (ph === 'i' || ph === 'C') continue;
    if (ph !== 'X' || dur === undefined) {
      fault('neither span nor moment');
      continue;
    }
    if (!Number.isSafeInteger(dur) || dur < 0) fault('no span');
    const around = (open.get(track) ?? []).filter((end) => end > ts);
    if (around.some((end) => ts + dur > end)) fault('reaches out of the span around it');
    open.set(track, [...around, ts + dur]);
  }
  return faults;
}
