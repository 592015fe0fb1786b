import { execFileSync } from 'node:child_process';
import { isUnprivilegedPass } from './needs-root.js';

/**
 * Builds once before any test. Worker threads cannot load TypeScript, and the end-to-end tests run the built
 * command, so a stale build would test yesterday's code. The unprivileged pass tests what is built already.
 */
export default function setup(): void {
  if (isUnprivilegedPass) return;
  execFileSync('npm', ['run', '--silent', 'build'], { stdio: 'inherit' });
}
