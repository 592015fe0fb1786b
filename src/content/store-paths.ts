import { join } from 'node:path';

import { algorithmOf, type Digest, encodedOf, isDigest } from '../spec/index.js';

/*
 * Where things lie below a store's root, and nowhere else. A `Digest` is well-formed, so neither of its parts can hold
 * a slash or be a dot name: no digest, however hostile, names a file outside of `blobs` and `ingest`.
 */

export const LAYOUT_FILE = 'oci-layout';
export const INDEX_FILE = 'index.json';
export const DATABASE_FILE = 'metadata.db';
export const BLOBS = 'blobs';
export const INGEST = 'ingest';
export const SNAPSHOTS = 'snapshots';

/** `blobs/<algorithm>/<encoded>` (image-spec: image-layout.md, Blobs). */
export function blobPath(root: string, digest: Digest): string {
  return join(blobDirectory(root, digest), encodedOf(digest));
}

/** The directory that holds the blobs of a digest's algorithm. */
export function blobDirectory(root: string, digest: Digest): string {
  return join(root, BLOBS, algorithmOf(digest));
}

/** `ingest/<algorithm>-<encoded>` */
export function ingestPath(root: string, digest: Digest): string {
  return join(root, INGEST, `${algorithmOf(digest)}-${encodedOf(digest)}`);
}

/** The digest of a directory in `ingest/`, or undefined where its name is not of that form. */
export function digestOfIngest(name: string): Digest | undefined {
  const dash = name.lastIndexOf('-');
  const digest = `${name.slice(0, dash)}:${name.slice(dash + 1)}`;
  return dash > 0 && isDigest(digest) ? digest : undefined;
}

/** `ingest/uploads/<id>`: what is pushed and has no digest yet. `uploads` is of no partial's form. */
export function uploadPath(root: string, id: string): string {
  return join(uploadsDirectory(root), id);
}

export function uploadsDirectory(root: string): string {
  return join(root, INGEST, 'uploads');
}
