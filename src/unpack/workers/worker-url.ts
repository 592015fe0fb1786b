/**
 * Where a worker thread finds its entry. Worker threads cannot load TypeScript, so when this module itself runs from
 * its source, as under the tests, the built entry of the same repository is taken.
 */
export const WORKER_URL: URL = import.meta.url.endsWith('.ts')
  ? new URL('../../../dist/src/unpack/workers/worker.js', import.meta.url)
  : new URL('./worker.js', import.meta.url);
