import { shortDigest } from '../../spec/index.js';
import { printable } from '../format/text.js';
import { version } from '../output/version.js';
import { blobName, isBelow } from './render-row.js';
import { timelineHeadline } from './timeline-headline.js';
import type { TimedRequest } from './timeline-recorder.js';
import type { LayerStep, Throughput, TimedBlob, TimedLayer, TimedPull, Timeline } from './timeline.js';

/**
 * A timeline as a trace that chrome://tracing and ui.perfetto.dev open: a process for each image, with a
 * track for the image, one for each manifest and two for each layer, what brings it and what is made of it;
 * and one for the network, with the rate and the requests.
 */
export function renderTrace(timeline: Timeline, requests: readonly TimedRequest[] = []): string {
  const hosts = hostsByDigest(requests);
  const network = timeline.pulls.length + 1;
  const events = inOrder([
    ...timeline.pulls.flatMap((pull, at) => pullEvents(pull, at + 1, hosts)),
    ...nameProcess(network, 'network'),
    ...rateEvents(timeline.throughput, network),
    ...requestEvents(requests, network),
  ]);
  const { sentence, reason } = timelineHeadline(timeline);
  return [
    '{',
    `"displayTimeUnit": "ms",`,
    `"otherData": ${JSON.stringify({
      program: `landfall ${version()}`,
      begun: timeline.begun.toISOString(),
      outcome: timeline.pulls.find(({ outcome }) => outcome !== 'done')?.outcome ?? 'done',
      headline: sentence,
      error: reason,
    })},`,
    `"traceEvents": [`,
    events.map((event) => JSON.stringify(event)).join(',\n'),
    ']',
    '}',
    '',
  ].join('\n');
}

type Hosts = ReadonlyMap<string, string>;

function pullEvents(pull: TimedPull, pid: number, hosts: Hosts): readonly TraceEvent[] {
  const { reference, start, end, outcome, error, digest, platform, resolve, record } = pull;
  const track = { pid, tid: 1 };
  const blobs = [...pull.documents, ...pull.layers, ...pull.others];
  return [
    ...nameProcess(pid, printable(reference)),
    ...nameTrack(track, 'image'),
    spanEvent(
      track,
      { name: `pull ${printable(reference)}`, cat: 'pull', start, end },
      { reference, digest, platform, outcome, error },
    ),
    ...(resolve === undefined
      ? []
      : [spanEvent(track, { name: 'resolve', cat: 'resolve', ...resolve }, { digest })]),
    ...(record === undefined ? [] : [spanEvent(track, { name: 'record', cat: 'record', ...record }, {})]),
    ...pull.warnings.map(({ at, text }) =>
      momentEvent(track, { name: 'warning', cat: 'warning', at }, { message: text }),
    ),
    // Two tracks for each, so that spans of one track never overlap.
    ...blobs.flatMap((blob, at) => blobEvents(blob, { pid, tid: 2 + 2 * at }, hosts)),
  ];
}

function blobEvents(blob: TimedBlob | TimedLayer, upper: Track, hosts: Hosts): readonly TraceEvent[] {
  const lower = { ...upper, tid: upper.tid + 1 };
  const title = `${blobName(blob)} ${shortDigest(blob.digest)}`;
  const below = blob.steps.filter(isBelow);
  const spans = blob.steps.map((step) =>
    spanEvent(
      isBelow(step) ? lower : upper,
      { name: step.kind, cat: blob.role, start: step.start, end: step.end },
      stepArgs(step, blob, hosts),
    ),
  );
  const retries = blob.retries.map(({ start, end }) =>
    spanEvent(upper, { name: 'retrying', cat: blob.role, start, end }, { digest: blob.digest }),
  );
  const present = 'reusedAt' in blob ? blob.reusedAt : blob.presentAt;
  return [
    ...nameTrack(upper, title),
    ...(below.length === 0 ? [] : nameTrack(lower, `${title} unpack`)),
    ...spans,
    ...retries,
    ...(present === undefined ? [] : [presentEvent(blob, present, upper)]),
  ];
}

function presentEvent({ role, digest, size }: TimedBlob, at: number, track: Track): TraceEvent {
  return momentEvent(track, { name: 'present', cat: role, at }, { digest, size });
}

function stepArgs(step: LayerStep, blob: TimedBlob, hosts: Hosts): TraceEvent['args'] {
  const isDownload = step.kind === 'download';
  return {
    digest: blob.digest,
    size: blob.size,
    ...(isDownload ? { bytes: blob.bytes, retries: blob.retries.length, host: hosts.get(blob.digest) } : {}),
    waitedFor: step.waitedFor,
    unfinished: step.open === true ? true : undefined,
  };
}

/** The host that answered last for each blob, as far as the addresses tell. */
function hostsByDigest(requests: readonly TimedRequest[]): Hosts {
  return new Map(
    requests.flatMap(({ method, url, host, answer }) => {
      const digest = /[a-z0-9]+:[0-9a-f]{32,}/.exec(decoded(url))?.[0];
      return method === 'GET' && digest !== undefined && /^[23]/.test(answer) ? [[digest, host]] : [];
    }),
  );
}

function decoded(url: string): string {
  return url.replaceAll(/%3a/gi, ':');
}

function rateEvents({ interval, bytes }: Throughput, pid: number): readonly TraceEvent[] {
  const name = 'bytes downloaded per second';
  const rates = bytes.map((each, at) =>
    counterEvent(pid, name, at * interval, { rate: Math.round((each * 1000) / interval) }),
  );
  return bytes.length === 0 ? [] : [...rates, counterEvent(pid, name, bytes.length * interval, { rate: 0 })];
}

/** Requests that overlap are put beside each other: each goes to the first track of its host that is free. */
function requestEvents(requests: readonly TimedRequest[], pid: number): readonly TraceEvent[] {
  const tracks: { readonly host: string; readonly tid: number; until: number }[] = [];
  const events: TraceEvent[] = [];
  for (const request of [...requests].sort((a, b) => a.start - b.start)) {
    const { host, start, end, method, url, attempt, answer } = request;
    let track = tracks.find((each) => each.host === host && each.until <= start);
    if (track === undefined) {
      track = { host, tid: tracks.length + 1, until: end };
      tracks.push(track);
      events.push(...nameTrack({ pid, tid: track.tid }, `requests to ${printable(host)}`));
    }
    track.until = end;
    events.push(
      spanEvent(
        { pid, tid: track.tid },
        { name: `${method} ${answer}`, cat: 'request', start, end },
        { url, host, attempt, answer },
      ),
    );
  }
  return events;
}

type Args = Readonly<Record<string, string | number | boolean | undefined>>;

/**
 * One event of a trace (Chromium's Trace Event Format). `ts` and `dur` are in microseconds. Phases: `M` names
 * a process or a thread, `X` is a span, `i` a moment, `C` a counter.
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

function nameProcess(pid: number, name: string): readonly TraceEvent[] {
  return named('process', { pid, tid: 0 }, name, pid);
}

function nameTrack(track: Track, name: string): readonly TraceEvent[] {
  return named('thread', track, name, track.tid);
}

/** Its name, and where it stands among others. */
function named(what: string, track: Track, name: string, at: number): readonly TraceEvent[] {
  return [
    { name: `${what}_name`, ph: 'M', ...track, ts: 0, args: { name } },
    { name: `${what}_sort_index`, ph: 'M', ...track, ts: 0, args: { sort_index: at } },
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
