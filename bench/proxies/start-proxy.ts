import { fork } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import type { LineShape } from './line.js';

/** A proxy that runs. Disposing ends it. */
export interface Proxy extends AsyncDisposable {
  /** Host and port, as in a reference. */
  readonly address: string;
}

/** Starts a proxy before the server at `127.0.0.1:PORT`, in a process of its own. */
export async function startProxy(target: string, shape: LineShape): Promise<Proxy> {
  const child = fork(resolve(import.meta.dirname, 'proxy-process.js'), [
    target.slice(target.lastIndexOf(':') + 1),
    JSON.stringify(shape),
  ]);
  const exited = once(child, 'exit');
  const port = await Promise.race([
    once(child, 'message').then(([said]: unknown[]) => Number(said)),
    exited.then(() => Promise.reject(new Error('the proxy did not start'))),
  ]);
  return {
    address: `127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      if (child.connected) child.disconnect();
      await exited;
    },
  };
}
