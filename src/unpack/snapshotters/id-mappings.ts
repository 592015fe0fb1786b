import { LandfallError } from '../../errors.js';
import { hasId, type IdMappings } from '../bundle/runtime-config.js';
import { checkIdRanges, type IdRange, type Owner, ownerOf } from '../terms/ownership.js';
import type { Labels, Mount } from '../snapshotter.js';
import type { SnapshotRecord } from './snapshot-records.js';

/** The user namespace that a snapshot is for (containerd: core/snapshots/snapshotter.go). */
const UID_LABEL = 'containerd.io/snapshot/uidmapping';
const GID_LABEL = 'containerd.io/snapshot/gidmapping';

/**
 * The IDs of the user namespace that a snapshot with these labels is for: `CONTAINER:HOST:SIZE`, several
 * separated by commas.
 *
 * @throws LandfallError INVALID_CONFIG (a label is malformed, leaves out root, or is there without the other)
 */
export function idMappingsIn(labels: Labels): IdMappings | undefined {
  const { [UID_LABEL]: uid = '', [GID_LABEL]: gid = '' } = labels;
  if (uid === '' && gid === '') return undefined;
  return { uid: rangesOf(UID_LABEL, uid), gid: rangesOf(GID_LABEL, gid) };
}

function rangesOf(label: string, value: string): readonly IdRange[] {
  if (!/^\d+:\d+:\d+(?:,\d+:\d+:\d+)*$/.test(value)) {
    const problem = value === '' ? 'is missing beside the other one' : `is malformed: ${value}`;
    throw new LandfallError('INVALID_CONFIG', `the label ${label} ${problem}`, {
      hint: 'It takes CONTAINER:HOST:SIZE, several separated by commas, for example 0:100000:65536.',
    });
  }
  const ranges = value.split(',').map((range) => {
    const [container = 0, host = 0, size = 0] = range.split(':').map(Number);
    return { container, host, size };
  });
  try {
    checkIdRanges(ranges);
  } catch (error) {
    throw new LandfallError('INVALID_CONFIG', `the label ${label}: ${(error as Error).message}`, {
      cause: error,
    });
  }
  if (!hasId(ranges, 0)) {
    throw new LandfallError('INVALID_CONFIG', `the label ${label} maps no root: ${value}`, {
      hint: 'The root directory of a container belongs to root: map 0 too, for example 0:100000:65536.',
    });
  }
  return ranges;
}

/**
 * The IDs that the owners of a snapshot's content are to be mapped to. There are none on a parent whose
 * owners another program has changed on the disk: containerd's client does so where it was not told that they
 * are mapped.
 *
 * @throws as {@link idMappingsIn}
 */
export function idMappingsOn(
  parent: Pick<SnapshotRecord, 'remapped'> | undefined,
  labels: Labels,
): IdMappings | undefined {
  return parent?.remapped === true ? undefined : idMappingsIn(labels);
}

/** The host's owner of what is another one's inside; root's where the user namespace has no such owner. */
export function mappedOwner(mappings: IdMappings, { uid, gid }: Owner): Owner {
  return ownerOf(mappings, {
    uid: hasId(mappings.uid, uid) ? uid : 0,
    gid: hasId(mappings.gid, gid) ? gid : 0,
  });
}

/** An overlay mount whose lower layers are shown with mapped owners, by containerd 2.0 and later. */
export function idMapped(mount: Mount, { uid, gid }: IdMappings): Mount {
  const text = (ranges: readonly IdRange[]): string =>
    ranges.map(({ container, host, size }) => `${container}:${host}:${size}`).join(',');
  return { ...mount, options: [`uidmap=${text(uid)}`, `gidmap=${text(gid)}`, ...mount.options] };
}
