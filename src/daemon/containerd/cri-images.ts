import type { Abortable } from '../../errors.js';
import type { ContainerdConnection } from './connection.js';
import { isCurrent, listRecords, touchRecord } from './image-records.js';
import type { WantedRecord } from './wanted.js';

/** The ID of the image that containerd's CRI knows by a name; undefined where it knows none. Errors: those of a call. */
export async function criImageId(
  connection: ContainerdConnection,
  name: string,
  o: Abortable,
): Promise<string | undefined> {
  const { image } = await connection.call('cri/ImageStatus', { image: { image: name } }, o);
  return image?.id;
}

/**
 * Has containerd's CRI look again at the names that it should know and does not. It keeps what it knows in memory, and when it
 * starts, it leaves out what it finds without its layers: everything, where it starts before landfall does.
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
