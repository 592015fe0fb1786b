import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { constants } from 'node:os';
import { output } from './bound-process.js';

const INSIDE = 'LANDFALL_BENCH_NAMESPACE';
// With a process namespace too, the kernel ends whatever was left running when this program ends, however it
// does.
const NAMESPACES = ['--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child', '--mount-proc'];

/** Whether this process is the one that {@link runInNamespace} started. */
export function insideNamespace(): boolean {
  return process.env[INSIDE] === '1';
}

/** Why no namespaces can be made here; undefined where they can. */
export function whyNoNamespace(): string | undefined {
  if (process.getuid?.() !== 0) return 'not root';
  try {
    execFileSync('unshare', [...NAMESPACES, 'true'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'unshare could make no mount and process namespaces';
  }
}

/**
 * Runs this program once more, with the same arguments and what is in `env`, in mount and process namespaces
 * of its own, and returns its exit code. SIGINT and SIGTERM reach it as a closed channel, as does the end of
 * this process.
 */
export async function runInNamespace(env: Readonly<Record<string, string>>): Promise<number> {
  const child = spawn('unshare', [...NAMESPACES, process.execPath, ...process.argv.slice(1)], {
    env: { ...process.env, ...env, [INSIDE]: '1' },
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  });
  const stop = (): void => {
    if (child.connected) child.disconnect();
  };
  process.on('SIGINT', stop).on('SIGTERM', stop);
  const [code] = (await once(child, 'exit')) as [number | null];
  process.off('SIGINT', stop).off('SIGTERM', stop);
  return code ?? 128 + constants.signals.SIGKILL;
}

/** Aborts at SIGINT and SIGTERM, and when the process outside is told to end. */
export function interruption(): AbortSignal {
  const controller = new AbortController();
  const abort = (): void => controller.abort(new Error('interrupted'));
  process.once('SIGINT', abort).once('SIGTERM', abort);
  if (insideNamespace()) process.once('disconnect', abort);
  // Listening to it must not keep this process alive.
  process.channel?.unref();
  return controller.signal;
}

/** Mounts a tmpfs that may take three quarters of the memory. */
export async function mountTmpfs(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  await output('mount', ['-t', 'tmpfs', '-o', 'mode=0755,size=75%', 'tmpfs', directory]);
}
