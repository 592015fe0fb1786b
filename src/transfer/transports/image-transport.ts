import { LandfallError } from '../../errors.js';
import { parseReference, quoted, type Reference } from '../../spec/index.js';

/** Where an image is read or written, as it is typed. */
export type ImageTransport =
  | { readonly kind: 'registry'; readonly reference: Reference }
  | { readonly kind: 'store'; readonly name: string }
  | { readonly kind: 'layout'; readonly directory: string; readonly name: string | undefined }
  /** skopeo's `dir:`, of one image. */
  | { readonly kind: 'directory'; readonly directory: string }
  | {
      readonly kind: 'archive';
      readonly format: 'oci' | 'docker';
      /** `-` is standard input or output. */
      readonly file: string;
      readonly name: string | undefined;
    };

const TRANSPORT = /^(?:docker(?=:\/\/)|oci|oci-archive|docker-archive|dir|docker-daemon|containers-storage):/;

/**
 * Reads `REF` for the store, `docker://REF`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`,
 * `docker-archive:FILE[:REF]` and `dir:DIR`, as in skopeo. A path ends at the first colon, so that the name
 * behind it may hold a port and a tag; that of `dir:` has no name behind it.
 *
 * @throws {LandfallError} INVALID_CONFIG, UNSUPPORTED; {SpecError} INVALID_REFERENCE
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
    case 'dir:':
      if (rest !== '') return { kind: 'directory', directory: rest };
      throw new LandfallError('INVALID_CONFIG', `${quoted(text)} lacks a path`, { hint: 'Write dir:DIR.' });
    case 'docker-daemon:':
      throw unsupported(transport, {
        from: `docker save ${rest} -o FILE, then name docker-archive:FILE`,
        to: 'copy to docker-archive:FILE, then docker load -i FILE',
      });
    case 'containers-storage:':
      throw unsupported(transport, {
        from: `skopeo copy containers-storage:${rest} oci-archive:FILE, then name oci-archive:FILE`,
        to: `copy to oci-archive:FILE, then skopeo copy oci-archive:FILE containers-storage:${rest}`,
      });
    default:
      throw new LandfallError('INVALID_CONFIG', `${quoted(text)} names a place that is not known here`, {
        hint: 'Write docker://REF, oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:REF], dir:DIR, or REF for the store.',
      });
  }
}

/** A transport of skopeo's whose images are in the storage of another program, which alone may touch it. */
function unsupported(
  transport: string,
  { from, to }: { readonly from: string; readonly to: string },
): LandfallError {
  return new LandfallError('UNSUPPORTED', `the transport ${transport} is not supported`, {
    hint: `To read it: ${from}. To write it: ${to}.`,
  });
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
