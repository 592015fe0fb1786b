/*
 * Whether HTTP/2 is faster than HTTP/1.1 for pulls. Method: nginx and Node's server, each a process of its own, offer both
 * by ALPN over TLS on loopback; undici, as landfall uses it, gets the same bodies in each way in turn and counts the
 * bytes, with new connections each time, handshakes included. What is far is behind a proxy that passes bytes on 20 ms
 * later each way, as many as come, and takes a round trip to connect. One round to warm up, then seven; printed are
 * the median time, the median of the ratios to HTTP/1.1 within a round (below 1 is faster) with minimum and maximum,
 * the client's CPU time as the same ratio, and the machine's load, which must be low for the times to mean anything.
 *
 * Usage: node dist/bench/http2.js [PART-OF-A-CASE'S-NAME]
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import pLimit from 'p-limit';
import { Agent, type Dispatcher } from 'undici';
import type { Ports } from './http2-server.js';

const ROUNDS = 7;
const ONE_WAY_MS = 20;
const KIB = 1 << 10;
const MIB = 1 << 20;

interface Case {
  readonly name: string;
  readonly bytes: number;
  readonly requests: number;
  readonly atOnce: number;
  readonly far: boolean;
}

const CASES: readonly Case[] = [
  { name: 'one blob of 256 MiB', bytes: 256 * MIB, requests: 1, atOnce: 1, far: false },
  { name: '8 blobs of 32 MiB at once', bytes: 32 * MIB, requests: 8, atOnce: 8, far: false },
  { name: 'far, 200 of 4 KiB, 8 at once', bytes: 4 * KIB, requests: 200, atOnce: 8, far: true },
  { name: 'far, 200 of 4 KiB at once', bytes: 4 * KIB, requests: 200, atOnce: 200, far: true },
  { name: 'far, one blob of 32 MiB', bytes: 32 * MIB, requests: 1, atOnce: 1, far: true },
];

const MANY_STREAMS = { allowH2: true, connections: 1, pipelining: 100 };
const WAYS: Readonly<Record<string, Agent.Options>> = {
  'HTTP/1.1, 16 connections': { allowH2: false, connections: 16 },
  'HTTP/2, 16 connections': { allowH2: true, connections: 16 },
  'HTTP/2, one connection': MANY_STREAMS,
  // Undici's own are 256 KiB and 512 KiB: over a long way no more than so much comes in one round trip.
  'HTTP/2, one, wide windows': {
    ...MANY_STREAMS,
    initialWindowSize: 8 * MIB,
    connectionWindowSize: 64 * MIB,
  },
};

interface Measured {
  readonly ms: number;
  readonly cpuMs: number;
}

async function main(): Promise<void> {
  const only = process.argv[2] ?? '';
  const work = await mkdtemp(join(tmpdir(), 'landfall-http2-'));
  try {
    const [cert, key] = makeCertificate(work);
    await using nginx = await startNginx(work, cert, key);
    await using server = await startServer(cert, key, nginx.port);
    const { node, farNode, far } = server.ports;
    const peers = { nginx: { near: nginx.port, far }, node: { near: node, far: farNode } };
    for (const each of CASES.filter(({ name }) => name.includes(only))) {
      for (const [peer, ports] of Object.entries(peers)) {
        await compare(`${each.name}, ${peer}`, each, each.far ? ports.far : ports.near, readFileSync(cert));
      }
    }
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function compare(title: string, each: Case, port: number, ca: Buffer): Promise<void> {
  const rounds: Measured[][] = [];
  const ways = Object.entries(WAYS);
  for (let round = 0; round <= ROUNDS; round += 1) {
    const row: Measured[] = [];
    // Another one begins in each round.
    for (let i = 0; i < ways.length; i += 1) {
      const at = (round + i) % ways.length;
      const [way, options] = ways[at] ?? ['', {}];
      row[at] = await measure(each, port, { ...options, connect: { ca } }, way.startsWith('HTTP/2'));
    }
    if (round > 0) rounds.push(row);
  }
  console.log(`${title} (load ${(loadavg()[0] ?? NaN).toFixed(1)})`);
  for (const [at, way] of Object.keys(WAYS).entries()) {
    const ratio = (of: (measured: Measured) => number): number[] =>
      rounds.map((row) => ofWay(row, at, of) / ofWay(row, 0, of)).sort((a, b) => a - b);
    const times = rounds.map((row) => ofWay(row, at, ({ ms }) => ms));
    const ratios = ratio(({ ms }) => ms);
    const spread = `${show(ratios[0])} to ${show(ratios.at(-1))}`;
    const cpu = show(median(ratio(({ cpuMs }) => cpuMs)));
    console.log(
      `  ${way.padEnd(26)} ${median(times).toFixed(0).padStart(6)} ms   ratio ${show(median(ratios))} (${spread})   CPU ${cpu}`,
    );
  }
}

const show = (ratio: number | undefined): string => (ratio ?? NaN).toFixed(2);

function ofWay(row: readonly Measured[], at: number, of: (measured: Measured) => number): number {
  const measured = row[at];
  return measured === undefined ? NaN : of(measured);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

async function measure(each: Case, port: number, options: Agent.Options, http2: boolean): Promise<Measured> {
  const agent = new Agent(options);
  const limit = pLimit(each.atOnce);
  const cpuBefore = process.cpuUsage();
  const begun = performance.now();
  const protocol = http2 ? 'HTTP/2.0' : 'HTTP/1.1';
  const origin = `https://127.0.0.1:${port}`;
  await Promise.all(
    Array.from({ length: each.requests }, () => limit(() => get(agent, origin, each.bytes, protocol))),
  );
  const ms = performance.now() - begun;
  const cpu = process.cpuUsage(cpuBefore);
  await agent.destroy();
  return { ms, cpuMs: (cpu.user + cpu.system) / 1000 };
}

/** Gets `/N`, and holds the answer against what was to come. */
function get(agent: Agent, origin: string, bytes: number, protocol: string): Promise<void> {
  return new Promise((done, failed) => {
    let received = 0;
    const handler: Dispatcher.DispatchHandler = {
      onRequestStart: () => undefined,
      onResponseStart: (controller, status, headers) => {
        if (status === 200 && headers['x-protocol'] === protocol) return;
        controller.abort(new Error(`${status} over ${String(headers['x-protocol'])} instead of ${protocol}`));
      },
      onResponseData: (_controller, chunk) => void (received += chunk.length),
      onResponseEnd: () => {
        if (received === bytes) done();
        else failed(new Error(`${received} bytes instead of ${bytes}`));
      },
      onResponseError: (_controller, error) => failed(error),
    };
    agent.dispatch({ origin, path: `/${bytes}`, method: 'GET' }, handler);
  });
}

function makeCertificate(directory: string): [cert: string, key: string] {
  const cert = join(directory, 'cert.pem');
  const key = join(directory, 'key.pem');
  const request = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-days',
    '1',
  ];
  const names = ['-subj', '/CN=landfall bench', '-addext', 'subjectAltName=IP:127.0.0.1'];
  execFileSync('openssl', [...request, ...names, '-out', cert, '-keyout', key], { stdio: 'ignore' });
  return [cert, key];
}

async function startNginx(
  work: string,
  cert: string,
  key: string,
): Promise<AsyncDisposable & { port: number }> {
  const port = await freePort();
  const files = join(work, 'html');
  await mkdir(files);
  for (const bytes of new Set(CASES.map((each) => each.bytes))) {
    await writeFile(join(files, String(bytes)), '');
    await truncate(join(files, String(bytes)), bytes);
  }
  await writeFile(
    join(work, 'nginx.conf'),
    `daemon off; worker_processes 1; pid nginx.pid; error_log stderr notice;
${process.getuid?.() === 0 ? 'user root;' : ''}
events { worker_connections 256; }
http {
  access_log off; sendfile on; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {
    listen 127.0.0.1:${port} ssl; http2 on; ssl_certificate ${cert}; ssl_certificate_key ${key};
    location / { add_header x-protocol $server_protocol; }
  }
}`,
  );
  const args = ['-p', work, '-c', join(work, 'nginx.conf'), '-e', 'stderr'];
  const child = spawn('nginx', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const lines = createInterface({ input: child.stderr });
  await said(child, lines, (line) => line.includes('start worker process'));
  return { port, [Symbol.asyncDispose]: () => end(child) };
}

async function startServer(
  cert: string,
  key: string,
  other: number,
): Promise<AsyncDisposable & { ports: Ports }> {
  const script = resolve(import.meta.dirname, 'http2-server.js');
  const args = [script, cert, key, String(ONE_WAY_MS), String(other)];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout });
  const ports = JSON.parse(await said(child, lines, () => true)) as Ports;
  return { ports, [Symbol.asyncDispose]: () => end(child) };
}

/** The first line that is wanted. */
function said(
  child: ChildProcess,
  lines: ReturnType<typeof createInterface>,
  wanted: (line: string) => boolean,
): Promise<string> {
  return new Promise((done, failed) => {
    lines.on('line', (line) => {
      if (wanted(line)) done(line);
    });
    child.once('error', failed);
    child.once('exit', () => failed(new Error(`${child.spawnfile} did not start`)));
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill();
  await exited;
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

await main();
