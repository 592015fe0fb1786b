import { execFileSync } from 'node:child_process';

/**
 * Builds once before any test. Worker threads cannot load TypeScript, and the end-to-end tests run the built
 * command, so a stale build would test yesterday's code.
 */
export default function setup(): void {
  execFileSync('npm', ['run', '--silent', 'build'], { stdio: 'inherit' });
}
