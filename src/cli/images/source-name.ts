import { LandfallError } from '../../errors.js';
import { invalidConfig } from '../config/settings.js';

/** Where an image is read: the local store, or an OCI layout directory. */
export type SourceName =
  | { readonly kind: 'store'; readonly name: string }
  | { readonly kind: 'oci'; readonly directory: string; readonly name: string | undefined };

const ELSEWHERE = /^(docker|oci-archive|docker-archive|dir|docker-daemon|containers-storage):/;

/**
 * Reads `REF` and `oci:DIR[:TAG]`. As in skopeo the directory ends at the first colon, so that the name may
 * hold a port and a tag.
 *
 * @throws {LandfallError} INVALID_CONFIG
 */
export function parseSourceName(text: string): SourceName {
  if (text.startsWith('oci:')) return parseLayoutName(text.slice('oci:'.length));
  const transport = ELSEWHERE.exec(text)?.[1];
  // `docker:5000/app` is a registry's host with a port; only `docker://` is the transport.
  if (transport !== undefined && (transport !== 'docker' || text.startsWith('docker://'))) {
    throw new LandfallError('INVALID_CONFIG', `${text} is not a source that this command reads`, {
      hint:
        transport === 'docker'
          ? `Pull it first: landfall pull ${text.slice('docker://'.length)}`
          : 'Name an image of the local store, or oci:DIR[:TAG].',
    });
  }
  return { kind: 'store', name: text };
}

function parseLayoutName(text: string): SourceName {
  const colon = text.indexOf(':');
  const directory = colon < 0 ? text : text.slice(0, colon);
  const name = colon < 0 ? undefined : text.slice(colon + 1);
  if (directory === '' || name === '') {
    throw invalidConfig(`oci:${text} does not name an OCI layout`, {
      hint: 'Write oci:DIR, or oci:DIR:TAG when the layout holds several images.',
    });
  }
  return { kind: 'oci', directory, name };
}
