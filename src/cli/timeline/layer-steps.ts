import type { PullEvent } from '../../engine/pull-event.js';
import type { StateChanges } from './state-changes.js';
import type { LayerStep, Span } from './timeline.js';

export type BlobState = Extract<PullEvent, { type: 'blob' }>['state'];
export type UnpackState = Extract<PullEvent, { type: 'layer' }>['state'];

/** How a blob came, from its states. A download that breaks and is begun again is one step. */
export function blobSteps(changes: StateChanges<BlobState>, end: number): readonly LayerStep[] {
  const steps: LayerStep[] = [];
  for (const span of changes.spans(end)) {
    const { start, end: until, last } = span;
    const step = stepOf(span.state);
    if (step === undefined) continue;
    const before = steps.at(-1);
    const isOneWith = before?.kind === 'download' && step.kind === 'download' && before.end === start;
    if (isOneWith) steps.pop();
    const begun = isOneWith ? before.start : start;
    steps.push({ ...step, start: begun, end: until, ...(last ? { open: true } : {}) });
  }
  return steps.filter(isSeen);
}

function stepOf(state: BlobState): Pick<LayerStep, 'kind' | 'waitedFor'> | undefined {
  switch (state) {
    case 'waiting':
      return { kind: 'wait', waitedFor: 'download' };
    case 'elsewhere':
      return { kind: 'elsewhere' };
    case 'downloading':
    case 'retrying':
      return { kind: 'download' };
    case 'done':
    case 'present':
      return undefined;
  }
}

/** When a download was broken: until its next bytes. */
export function retriesOf(changes: StateChanges<BlobState>, end: number): readonly Span[] {
  return changes
    .spans(end)
    .filter(({ state }) => state === 'retrying')
    .map(({ start, end: until }) => ({ start, end: until }));
}

export interface UnpackStepsOptions {
  readonly changes: StateChanges<UnpackState>;
  /** When the blob was here; undefined where it never was, or did not have to be. */
  readonly hereAt: number | undefined;
  /** When all layers below were unpacked; Infinity where they never were. */
  readonly parentsAt: number;
  /** When the pull ended. */
  readonly end: number;
}

/** What happened to a layer beside and after its download. */
export function unpackSteps({ changes, hereAt, parentsAt, end }: UnpackStepsOptions): readonly LayerStep[] {
  const begun = changes.first('unpacking')?.at;
  const settled = changes.last('committed', 'present');
  const until = settled?.at ?? end;
  const isOpen = settled === undefined ? ({ open: true } as const) : {};
  const steps: LayerStep[] = [];
  if (hereAt !== undefined) {
    const waited = { kind: 'wait', waitedFor: 'unpack', start: hereAt, end: begun ?? until } as const;
    steps.push(begun === undefined ? { ...waited, ...isOpen } : waited);
  }
  if (begun === undefined) return steps.filter(isSeen);
  const unpacked = changes.last('unpacked')?.at;
  if (unpacked === undefined) return [...steps, { kind: 'unpack', start: begun, end: until, ...isOpen }];
  const ready = Math.min(until, Math.max(unpacked, parentsAt));
  const neverReady = Math.max(unpacked, parentsAt) >= until && settled === undefined;
  steps.push(
    { kind: 'unpack', start: begun, end: unpacked },
    {
      kind: 'wait',
      waitedFor: 'parents',
      start: unpacked,
      end: ready,
      ...(neverReady ? { open: true } : {}),
    },
    { kind: 'commit', start: ready, end: until, ...isOpen },
  );
  return steps.filter(isSeen);
}

function isSeen({ start, end }: Span): boolean {
  return end > start;
}
