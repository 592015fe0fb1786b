import { execFileSync } from 'node:child_process';
import { isUnprivilegedPass } from './needs-root.js';

/**
 * Builds once before any test. Worker threads cannot load TypeScript, and the end-to-end tests run the built
 * command, so a stale build would test yesterday's code. The unprivileged pass tests what is built already,
 * and so does who says that it is, as CI does, which runs several passes over one build at a time.
 */
export default function setup(): void {
  if (isUnprivilegedPass || process.env['LANDFALL_BUILT'] === '1') return;
  execFileSync('npm', ['run', '--silent', 'build'], { stdio: 'inherit' });
}
