import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/**
 * Debian's docker-registry on a port of its own, which can be killed and started again with what it had
 * stored.
 */
export class RestartingRegistry implements AsyncDisposable {
  /** `127.0.0.1:PORT` */
  readonly address: string;
  readonly #directory: string;
  #child: ChildProcess | undefined;

  private constructor(directory: string, address: string) {
    this.#directory = directory;
    this.address = address;
  }

  static async start(): Promise<RestartingRegistry> {
    const directory = await mkdtemp(join(tmpdir(), 'restarting-registry-'));
    const registry = new RestartingRegistry(directory, `127.0.0.1:${await freePort()}`);
    const config = {
      version: 0.1,
      storage: { filesystem: { rootdirectory: join(directory, 'data') } },
      http: { addr: registry.address, secret: 'of this test only' },
    };
    await writeFile(join(directory, 'config.yml'), JSON.stringify(config));
    await registry.startAgain();
    return registry;
  }

  async startAgain(): Promise<void> {
    const child = spawn('docker-registry', ['serve', join(this.#directory, 'config.yml')], {
      env: { PATH: process.env['PATH'] ?? '', OTEL_TRACES_EXPORTER: 'none' },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#child = child;
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', () => reject(new Error('docker-registry ended at once')));
      createInterface({ input: child.stderr }).on('line', (line) => {
        if (line.includes('listening on')) resolve();
      });
    });
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child?.exitCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
