/**
 * The moments between two steps at which a process may die without harm: a test lets it die at each, by
 * `LANDFALL_FAULT_POINT=<name>` or `<name>:<n>` for the n-th time that it comes there, and looks at what is
 * left.
 */
export const FAULT_POINTS = [
  'blob-commit:verified',
  'blob-commit:synced',
  'blob-commit:renamed',
  'blob-commit:directory-synced',
  'blob-commit:recorded',
  'prepare:begun',
  'prepare:filled',
  'prepare:published',
  'snapshot-commit:described',
  'snapshot-commit:synced',
  'snapshot-commit:recorded',
  'layer-commit:completed',
  'layer-commit:described',
  'layer-commit:synced',
  'layer-commit:recorded',
  'image-put:recorded',
  'image-put:index-written',
  'image-put:done',
  'discard-layers:recorded',
  'discard-layers:removed',
  'gc:marked',
  'gc:snapshots-swept',
  'gc:decided',
  'gc:committed',
  'gc:blob-removed',
  'gc:blobs-removed',
  'gc:snapshots-removed',
  'rmi:decided',
  'rmi:committed',
  'rmi:blobs-removed',
] as const;

export type FaultPoint = (typeof FAULT_POINTS)[number];

const [armed, nth = '1'] = (process.env['LANDFALL_FAULT_POINT'] ?? '').split(/:(?=\d+$)/);
let left = Number(nth);

/** Where nobody asked for it, nothing happens here. */
export function faultPoint(name: FaultPoint): void {
  if (name !== armed) return;
  left -= 1;
  if (left <= 0) process.kill(process.pid, 'SIGKILL');
}
