import { createHash, randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Digest } from '../../src/spec/index.js';
import { type Nginx, type NginxTls, startNginx } from './nginx.js';
import { secret } from './secrets.js';

export interface ContentNetworkOptions {
  readonly blobs: ReadonlyMap<Digest, Uint8Array>;
  /** Whether it serves parts of a blob. Default true. */
  readonly ranges?: boolean;
  /** Serves only URLs that are signed and have not expired; others are 403. */
  readonly signed?: boolean;
  readonly tls?: NginxTls;
  readonly http2?: boolean;
}

export interface ContentNetwork extends Nginx {
  /**
   * Where a blob is. A signed URL is good for `seconds`, 60 by default; one that is not good any more has
   * less than 0.
   */
  url(digest: Digest, seconds?: number): string;
}

/**
 * nginx as a content delivery network: blobs as static files by their digests, at URLs that may be signed.
 */
export async function startContentNetwork(options: ContentNetworkOptions): Promise<ContentNetwork> {
  const { blobs, ranges = true, signed = false, tls, http2 } = options;
  const key = secret(randomBytes(18).toString('hex'), 'key of the signed URLs');
  const server = `
    location /blobs/ {
      ${ranges ? '' : 'max_ranges 0;'}
      ${signed ? linksSignedWith(key) : ''}
    }`;
  const nginx = await startNginx(
    { server, ...(tls === undefined ? {} : { tls }), ...(http2 === undefined ? {} : { http2 }) },
    async (directory) => {
      const place = join(directory, 'html/blobs');
      await mkdir(place, { recursive: true });
      for (const [digest, bytes] of blobs) await writeFile(join(place, digest), bytes);
    },
  );
  const url = (digest: Digest, seconds = 60): string => {
    const path = `/blobs/${digest}`;
    return `${nginx.origin}${path}${signed ? `?${signature(path, seconds, key)}` : ''}`;
  };
  return { ...nginx, url };
}

function linksSignedWith(key: string): string {
  return `
      secure_link $arg_signature,$arg_expires;
      secure_link_md5 "$secure_link_expires$uri ${key}";
      if ($secure_link != "1") { return 403; }`;
}

function signature(path: string, seconds: number, key: string): string {
  const expires = Math.floor(Date.now() / 1000) + seconds;
  const signed = createHash('md5').update(`${expires}${path} ${key}`).digest('base64url');
  return `signature=${secret(signed, 'signature of a URL')}&expires=${expires}`;
}
