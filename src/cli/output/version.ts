import { createRequire } from 'node:module';

/**
 * The version in the package's own package.json, found by the package's name from the sources and from the
 * build.
 */
export function version(): string {
  const manifest: unknown = createRequire(import.meta.url)('landfall/package.json');
  if (typeof manifest === 'object' && manifest !== null && 'version' in manifest)
    return String(manifest.version);
  return 'unknown';
}

/** The answer of `--version`. */
export function versionLine(): string {
  return `landfall ${version()}`;
}
