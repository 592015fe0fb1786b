import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { bound, end } from './bound-process.js';
import type { BenchRegistry, RegistryRequest } from './contract.js';

/** A registry that runs; disposing of it removes what it stored. */
export interface StartedRegistry extends BenchRegistry, AsyncDisposable {
  /** The directory in which it stores, in its `filesystem` driver's form. */
  readonly storage: string;
  readonly pid: number;
}

/** Starts Debian's docker-registry on a free port of 127.0.0.1, without TLS, in a directory of its own. */
export async function startRegistry(directory: string): Promise<StartedRegistry> {
  const storage = join(directory, 'data');
  await mkdir(storage, { recursive: true });
  const configuration = join(directory, 'config.yml');
  await writeFile(
    configuration,
    JSON.stringify({
      version: 0.1,
      log: { level: 'info' },
      storage: { filesystem: { rootdirectory: storage } },
      http: { addr: '127.0.0.1:0', secret: 'of this benchmark only' },
    }),
  );
  const child = spawn('docker-registry', ['serve', configuration], {
    // Nothing else of the environment: REGISTRY_* variables would override the configuration.
    env: { PATH: process.env['PATH'] ?? '', OTEL_TRACES_EXPORTER: 'none' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  bound(child);
  const requests = new RequestLog(child.stdout);
  const address = `127.0.0.1:${await listeningPort(child, child.stderr)}`;
  return {
    address,
    storage,
    pid: child.pid ?? 0,
    takeRequests: () => requests.take(address),
    [Symbol.asyncDispose]: async () => {
      await end(child);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** The port it chose, which only its own log tells. */
async function listeningPort(child: ChildProcess, log: Readable): Promise<string> {
  const said: string[] = [];
  return await new Promise<string>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`docker-registry did not start:\n${said.join('\n')}`)));
    // Read to its end: a process that cannot write its log dies of it.
    createInterface({ input: log }).on('line', (line) => {
      said.push(line);
      const port = /listening on 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
      if (port !== undefined) resolve(port);
    });
  });
}

const PROBE = 'landfall-bench-probe';

/** The access log of docker-registry, in the combined log format of the Apache HTTP server. */
class RequestLog {
  #lines: string[] = [];
  #probes = 0;

  constructor(log: Readable) {
    createInterface({ input: log }).on('line', (line) => this.#lines.push(line));
  }

  /**
   * A line is written when its request has ended, so the line of a later request says that the earlier ones
   * are there.
   */
  async take(address: string): Promise<readonly RegistryRequest[]> {
    this.#probes += 1;
    const marker = `${PROBE}-${this.#probes}`;
    const headers = { 'user-agent': marker, connection: 'close' };
    const [response] = (await once(http.get(`http://${address}/v2/`, { headers }), 'response')) as [
      http.IncomingMessage,
    ];
    await once(response.resume(), 'end');
    while (!this.#lines.some((line) => line.endsWith(`"${marker}"`))) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const taken = this.#lines;
    this.#lines = [];
    return taken.filter((line) => !line.includes(PROBE)).flatMap((line) => parseRequest(line) ?? []);
  }
}

/** A line of the combined log format; undefined for what is none. */
export function parseRequest(line: string): RegistryRequest | undefined {
  const match = /"(?<method>[A-Z]+) (?<path>\S+) HTTP\/[\d.]+" (?<status>\d{3}) (?<bytes>\d+|-)/.exec(line);
  if (match?.groups === undefined) return undefined;
  const { method = '', path = '', status, bytes } = match.groups;
  return { method, path, status: Number(status), bytes: bytes === '-' ? 0 : Number(bytes) };
}
