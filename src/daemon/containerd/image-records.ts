import type { Abortable } from '../../errors.js';
import type { Labels } from '../../unpack/index.js';
import {
  type ContainerdCallOptions,
  type ContainerdConnection,
  type ImageMessage,
  isAlreadyThere,
  unlessMissing,
} from './connection.js';
import { CRI_IMAGE, CRI_PINNED, hasLabels, OWN } from './labels.js';
import type { WantedRecord } from './wanted.js';

export type ImageRecords = ReadonlyMap<string, ImageMessage>;

/** All names of images that containerd has, landfall's and others. */
export async function listRecords(connection: ContainerdConnection, o: Abortable): Promise<ImageRecords> {
  const { images } = await connection.call('images/List', {}, o);
  return new Map(images.map((image) => [image.name, image]));
}

/** Whether landfall gave a name, and may take it away. */
export function isOwn(record: ImageMessage): boolean {
  return hasLabels(record.labels, OWN);
}

/** Whether a name is as it should be. */
export function isCurrent(record: ImageMessage | undefined, wanted: WantedRecord): boolean {
  if (record === undefined || record.target?.digest !== wanted.target.target.digest) return false;
  return isOwn(record) && hasLabels(record.labels, CRI_IMAGE) && isPinned(record) === wanted.pinned;
}

function isPinned(record: ImageMessage): boolean {
  return hasLabels(record.labels, CRI_PINNED);
}

/**
 * Gives a name its target, whatever had it before; labels that others gave it stay. Errors: those of a call.
 */
export async function putRecord(
  connection: ContainerdConnection,
  wanted: WantedRecord,
  known: ImageMessage | undefined,
  o: ContainerdCallOptions,
): Promise<void> {
  const image = messageOf(wanted, known?.labels ?? {});
  if (known === undefined) {
    try {
      await connection.call('images/Create', { image }, o);
      return;
    } catch (error) {
      // The name was given meanwhile.
      if (!isAlreadyThere(error)) throw error;
    }
  }
  await connection.call('images/Update', { image, updateMask: { paths: ['target', 'labels'] } }, o);
}

/** Writes a name as it is, which is what containerd's CRI looks at it for. */
async function touchRecord(
  connection: ContainerdConnection,
  record: ImageMessage,
  o: Abortable,
): Promise<void> {
  await connection
    .call('images/Update', { image: record, updateMask: { paths: ['target'] } }, o)
    .catch(unlessMissing);
}

/**
 * Takes names away. With the last, containerd collects what only they kept, landfall's snapshots included,
 * before this resolves.
 */
export async function deleteRecords(
  connection: ContainerdConnection,
  names: readonly string[],
  o: Abortable,
): Promise<void> {
  for (const [at, name] of names.entries()) {
    await connection.call('images/Delete', { name, sync: at === names.length - 1 }, o).catch(unlessMissing);
  }
}

function messageOf({ name, target: { target }, pinned }: WantedRecord, others: Labels): ImageMessage {
  const { mediaType, digest, size } = target;
  const kept = Object.entries(others).filter(([label]) => !(label in CRI_PINNED));
  return {
    name,
    labels: { ...Object.fromEntries(kept), ...CRI_IMAGE, ...(pinned ? CRI_PINNED : {}), ...OWN },
    target: { mediaType, digest, size: `${size}` },
  };
}

/**
 * The ID of the image that containerd's CRI knows by a name; undefined where it knows none. Errors: those of
 * a call.
 */
export async function criImageId(
  connection: ContainerdConnection,
  name: string,
  o: Abortable,
): Promise<string | undefined> {
  const { image } = await connection.call('cri/ImageStatus', { image: { image: name } }, o);
  return image?.id;
}

/**
 * Makes containerd's CRI read the names again that it should know and does not. The CRI keeps images in
 * memory, and at its start leaves out those without layers: all of them, where containerd starts before
 * landfall does.
 *
 * @throws LandfallError those of a call
 */
export async function remindCri(
  connection: ContainerdConnection,
  wanted: Iterable<WantedRecord>,
  o: Abortable,
): Promise<void> {
  const { images } = await connection.call('cri/ListImages', {}, o);
  const ids = new Map(
    images.flatMap(({ id, repoTags, repoDigests }) =>
      [id, ...repoTags, ...repoDigests].map((name): [string, string] => [name, id]),
    ),
  );
  const records = await listRecords(connection, o);
  for (const one of wanted) {
    const record = records.get(one.name);
    if (record === undefined || !isCurrent(record, one)) continue;
    if (ids.get(one.name) !== one.target.imageId) await touchRecord(connection, record, o);
  }
}
