import { UnpackError } from '../errors.js';
import type { Descriptor, Digest, ImageConfig } from '../spec/index.js';
import { faultOf, type VerifyFault } from './verify-graph.js';

/**
 * The layers of an image that are not what its config says (image-spec: config.md, rootfs.diff_ids).
 *
 * @param diffIds of layers by their digests, as far as they were looked at
 * @throws {UnpackError} DIFF_ID_MISMATCH for a config of another number of layers
 */
export function diffIdFaults(
  { rootfs: { diff_ids: expected } }: ImageConfig,
  layers: readonly Descriptor[],
  diffIds: ReadonlyMap<Digest, Digest>,
): VerifyFault[] {
  if (expected.length !== layers.length) {
    throw new UnpackError(
      'DIFF_ID_MISMATCH',
      `the config is of ${expected.length} layers, the manifest has ${layers.length}`,
    );
  }
  return layers.flatMap((layer, at) => {
    const actual = diffIds.get(layer.digest);
    if (actual === undefined || actual === expected[at]) return [];
    const message = `layer ${at + 1} is ${actual} uncompressed, not ${expected[at] ?? ''}`;
    const details = { layer: layer.digest, actual };
    return [faultOf(new UnpackError('DIFF_ID_MISMATCH', message, { details }), layer)];
  });
}
