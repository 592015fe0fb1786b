import { LandfallError } from '../../errors.js';
import { parseReference, quoted, type Reference } from '../../spec/index.js';

/** Where an image is read or written, as it is typed. */
export type ImageTransport =
  | { readonly kind: 'registry'; readonly reference: Reference }
  | { readonly kind: 'store'; readonly name: string }
  | { readonly kind: 'layout'; readonly directory: string; readonly name: string | undefined }
  | {
      readonly kind: 'archive';
      readonly format: 'oci' | 'docker';
      /** `-` is standard input or output. */
      readonly file: string;
      readonly name: string | undefined;
    };

const TRANSPORT = /^(?:docker(?=:\/\/)|oci|oci-archive|docker-archive|dir|docker-daemon|containers-storage):/;

/**
 * Reads `REF` for the store, `docker://REF`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` and
 * `docker-archive:FILE[:REF]`, as in skopeo. A path ends at the first colon, so that the name behind it may
 * hold a port and a tag.
 *
 * @throws {LandfallError} INVALID_CONFIG; {SpecError} INVALID_REFERENCE
 */
export function parseTransport(text: string): ImageTransport {
  const transport = TRANSPORT.exec(text)?.[0];
  if (transport === undefined) return { kind: 'store', name: text };
  const rest = text.slice(transport.length);
  switch (transport) {
    case 'docker:':
      return { kind: 'registry', reference: parseReference(rest.slice('//'.length), { defaultTag: true }) };
    case 'oci:': {
      const { path, name } = pathAndName(text, rest);
      return { kind: 'layout', directory: path, name };
    }
    case 'oci-archive:':
    case 'docker-archive:': {
      const { path, name } = pathAndName(text, rest);
      return { kind: 'archive', format: transport === 'oci-archive:' ? 'oci' : 'docker', file: path, name };
    }
    default:
      throw new LandfallError('INVALID_CONFIG', `${quoted(text)} names a place that is not known here`, {
        hint: 'Write docker://REF, oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:REF], or REF for the store.',
      });
  }
}

function pathAndName(text: string, rest: string): { path: string; name: string | undefined } {
  const colon = rest.indexOf(':');
  const path = colon < 0 ? rest : rest.slice(0, colon);
  const name = colon < 0 ? undefined : rest.slice(colon + 1);
  if (path !== '' && name !== '') return { path, name };
  throw new LandfallError('INVALID_CONFIG', `${quoted(text)} lacks a path, or a name behind its last colon`, {
    hint: 'Write for example oci:DIR, or oci-archive:FILE:TAG.',
  });
}

/** Where an image is to be written by a name that has a digest. */
export function digestGiven(text: string): LandfallError {
  return new LandfallError(
    'INVALID_CONFIG',
    `${quoted(text)} has a digest, which only its content can give`,
    {
      hint: `Leave it out, as in ${quoted(text.replace(/@.*$/, ''))}.`,
    },
  );
}
