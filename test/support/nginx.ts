import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

export interface NginxTls {
  /** PEM, also of whoever issued it. */
  readonly cert: string;
  /** PEM */
  readonly key: string;
  /** PEM, for the requests of this file. Default: `cert`. */
  readonly ca?: string;
}

export interface NginxOptions {
  /** Directives of the `http` block; paths are relative to `directory`. */
  readonly http?: string;
  /** Directives of the one `server`, `listen` and what TLS needs left out. */
  readonly server: string;
  readonly tls?: NginxTls;
  /** Offers HTTP/2: by ALPN with TLS, and to whoever begins with it without. */
  readonly http2?: boolean;
}

/** One request, as the access log has it. */
export interface NginxRequest {
  /** `GET /v2/team/app/blobs/sha256:…`, with its query. */
  readonly line: string;
  readonly status: number;
  /** HIT, MISS, EXPIRED, STALE, …; empty where nothing was asked of a cache. */
  readonly cache: string;
  /** The header Range, or empty. */
  readonly range: string;
  /** Of the body. */
  readonly bytesSent: number;
  /** `HTTP/1.1`, `HTTP/2.0` */
  readonly protocol: string;
}

export interface Nginx extends AsyncDisposable {
  /** `127.0.0.1:PORT` */
  readonly address: string;
  /** `http://127.0.0.1:PORT` */
  readonly origin: string;
  /** All that it reads and writes. */
  readonly directory: string;
  /**
   * The requests that have ended so far; what this file itself asked is left out, and so is what was no HTTP.
   */
  requests(): Promise<NginxRequest[]>;
  /** Ends the processes and removes the directory. May be called twice. */
  stop(): Promise<void>;
}

type Child = ChildProcessByStdio<null, null, Readable>;

const PROBE = '/landfall-test-probe';
const PORTS_TRIED = 10;

/**
 * Starts Debian's nginx on a free port of 127.0.0.1, with a directory of its own in the temp folder that
 * `prepare` may fill before.
 */
export async function startNginx(
  options: NginxOptions,
  prepare: (directory: string) => Promise<void> = () => Promise.resolve(),
): Promise<Nginx> {
  const directory = await mkdtemp(join(tmpdir(), 'nginx-'));
  try {
    await prepare(directory);
    if (options.tls !== undefined) {
      await writeFile(join(directory, 'tls.pem'), options.tls.cert);
      await writeFile(join(directory, 'tls.key'), options.tls.key, { mode: 0o600 });
    }
    const { child, address } = await startOnFreePort(directory, options);
    // Its workers outlive a master that is killed, not one that is told to end.
    const endAtExit = (): void => void child.kill('SIGTERM');
    process.on('exit', endAtExit);
    let stopped: Promise<void> | undefined;
    const stop = (): Promise<void> => (stopped ??= end(child, directory, endAtExit));
    const origin = `${options.tls === undefined ? 'http' : 'https'}://${address}`;
    const requests = (): Promise<NginxRequest[]> => settledLog(origin, directory, options.tls);
    return { address, origin, directory, requests, stop, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

/** nginx must be told its port, and what was free a moment ago may no longer be. */
async function startOnFreePort(
  directory: string,
  options: NginxOptions,
): Promise<{ child: Child; address: string }> {
  for (let left = PORTS_TRIED; ; left -= 1) {
    const address = `127.0.0.1:${await freePort()}`;
    await writeFile(join(directory, 'nginx.conf'), configure(address, options));
    const child = spawn('nginx', ['-p', directory, '-c', join(directory, 'nginx.conf'), '-e', 'stderr'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const outcome = await begun(child);
    if (outcome === 'ready') return { child, address };
    if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    if (!outcome.includes('Address already in use') || left === 1) {
      throw new Error(`nginx did not start:\n${outcome}`);
    }
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

/** `ready`, or what it said instead. It listens before it starts its workers. */
async function begun(child: Child): Promise<string> {
  const said: string[] = [];
  return await new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', () => resolve(said.join('\n')));
    // Read to its end: a process that cannot write its log waits for it.
    createInterface({ input: child.stderr }).on('line', (line) => {
      said.push(line);
      if (line.includes('start worker process')) resolve('ready');
      if (line.includes('Address already in use')) resolve(said.join('\n'));
    });
  });
}

function configure(
  address: string,
  { http: httpBlock = '', server, tls, http2 = false }: NginxOptions,
): string {
  return `
daemon off;
worker_processes 1;
${process.getuid?.() === 0 ? 'user root;' : ''}
pid nginx.pid;
lock_file nginx.lock;
error_log stderr notice;
events { worker_connections 256; }
http {
  log_format landfall escape=json '{"line":"$request_method $request_uri","status":$status,'
    '"cache":"$upstream_cache_status","range":"$http_range","bytesSent":$body_bytes_sent,'
    '"protocol":"$server_protocol","agent":"$http_user_agent"}';
  access_log access.log landfall;
  client_body_temp_path client;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  default_type application/octet-stream;
  sendfile on;
  ${httpBlock}
  server {
    listen ${address}${tls === undefined ? '' : ' ssl'};
    http2 ${http2 ? 'on' : 'off'};
    ${tls === undefined ? '' : 'ssl_certificate tls.pem; ssl_certificate_key tls.key;'}
    location = ${PROBE} { return 204; }
    ${server}
  }
}
`;
}

let probes = 0;

/**
 * The one worker writes a line when its request has ended, so the line of a later request says that the
 * earlier are there.
 */
async function settledLog(
  origin: string,
  directory: string,
  tls: NginxTls | undefined,
): Promise<NginxRequest[]> {
  probes += 1;
  const marker = `${PROBE}-${probes}`;
  await probe(`${origin}${PROBE}`, marker, tls);
  for (;;) {
    const text = await readFile(join(directory, 'access.log'), 'utf8');
    if (!text.includes(`"${marker}"}\n`)) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      continue;
    }
    const lines = text.slice(0, text.lastIndexOf('\n')).split('\n');
    return lines
      .filter((line) => !line.includes(PROBE))
      .map((line) => JSON.parse(line) as NginxRequest)
      .filter(({ line }) => line !== ' ');
  }
}

async function probe(url: string, marker: string, tls: NginxTls | undefined): Promise<void> {
  const headers = { 'user-agent': marker, connection: 'close' };
  const request =
    tls === undefined ? http.get(url, { headers }) : https.get(url, { headers, ca: tls.ca ?? tls.cert });
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  response.resume();
  await once(response, 'end');
}

async function end(child: Child, directory: string, endAtExit: () => void): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    await exited;
  }
  process.off('exit', endAtExit);
  await rm(directory, { recursive: true, force: true });
}
