import { type Nginx, type NginxTls, startNginx } from './nginx.js';

export interface CachingMirrorOptions {
  /** `http://127.0.0.1:PORT` of the registry behind it. */
  readonly upstream: string;
  readonly tls?: NginxTls;
  readonly http2?: boolean;
}

/**
 * nginx before a registry, as the recipes for caching registries have it: what has a digest is kept, what has
 * a tag only for a while, and both are still served while the registry is away.
 */
export async function startCachingMirror({ upstream, tls, http2 }: CachingMirrorOptions): Promise<Nginx> {
  return await startNginx({
    ...(tls === undefined ? {} : { tls }),
    ...(http2 === undefined ? {} : { http2 }),
    http: `
  proxy_cache_path cache levels=1:2 keys_zone=registry:4m max_size=1g inactive=60m use_temp_path=off;`,
    server: `
    client_max_body_size 0;
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header Connection "";
    proxy_cache registry;
    proxy_cache_lock on;
    proxy_cache_use_stale error timeout updating http_500 http_502 http_503 http_504;
    proxy_force_ranges on;
    location ~ ^/v2/.+/(blobs|manifests)/sha(256|512): {
      proxy_pass ${upstream};
      proxy_cache_key $uri;
      proxy_cache_valid 200 60m;
    }
    location ~ ^/v2/.+/manifests/ {
      proxy_pass ${upstream};
      # A registry may answer a tag in the form that the client prefers.
      proxy_cache_key $uri$http_accept;
      proxy_cache_valid 200 1m;
    }
    location /v2/ {
      proxy_pass ${upstream};
      proxy_cache off;
    }`,
  });
}
