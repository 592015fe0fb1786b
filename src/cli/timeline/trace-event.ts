type Args = Readonly<Record<string, string | number | boolean | undefined>>;

/**
 * One event of a trace (Chromium's Trace Event Format). `ts` and `dur` are in microseconds. Phases: `M` names a process or a thread,
 * `X` is a span, `i` a moment, `C` a counter.
 */
export interface TraceEvent {
  readonly name: string;
  readonly cat?: string;
  readonly ph: 'M' | 'X' | 'i' | 'C';
  readonly pid: number;
  readonly tid: number;
  readonly ts: number;
  readonly dur?: number;
  /** Of a moment: it concerns its thread. */
  readonly s?: 't';
  readonly args: Args;
}

/** A line of a trace: a thread of a process. */
export interface Track {
  readonly pid: number;
  readonly tid: number;
}

export function nameProcess(pid: number, name: string): readonly TraceEvent[] {
  return [
    { name: 'process_name', ph: 'M', pid, tid: 0, ts: 0, args: { name } },
    { name: 'process_sort_index', ph: 'M', pid, tid: 0, ts: 0, args: { sort_index: pid } },
  ];
}

export function nameTrack({ pid, tid }: Track, name: string): readonly TraceEvent[] {
  return [
    { name: 'thread_name', ph: 'M', pid, tid, ts: 0, args: { name } },
    { name: 'thread_sort_index', ph: 'M', pid, tid, ts: 0, args: { sort_index: tid } },
  ];
}

export function spanEvent(
  track: Track,
  { name, cat, start, end }: { name: string; cat: string; start: number; end: number },
  args: Args,
): TraceEvent {
  const ts = microseconds(start);
  return { name, cat, ph: 'X', ...track, ts, dur: microseconds(end) - ts, args };
}

export function momentEvent(
  track: Track,
  { name, cat, at }: { name: string; cat: string; at: number },
  args: Args,
): TraceEvent {
  return { name, cat, ph: 'i', s: 't', ...track, ts: microseconds(at), args };
}

export function counterEvent(pid: number, name: string, at: number, args: Args): TraceEvent {
  return { name, ph: 'C', pid, tid: 0, ts: microseconds(at), args };
}

/** Names first, then in order of time; of what begins at once the longest first, as what is inside of it. */
export function inOrder(events: readonly TraceEvent[]): readonly TraceEvent[] {
  const rank = ({ ph }: TraceEvent): number => (ph === 'M' ? 0 : 1);
  return [...events].sort((a, b) => rank(a) - rank(b) || a.ts - b.ts || (b.dur ?? 0) - (a.dur ?? 0));
}

/** Whole ones, so that where one span ends and the next one begins is the same number. */
function microseconds(milliseconds: number): number {
  return Math.round(milliseconds * 1000);
}
