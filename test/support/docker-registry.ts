import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

import { secret } from './secrets.js';

export interface DockerRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT` */
  readonly address: string;
  /** One line per request so far, in the combined log format; what this file itself asked is left out. */
  accessLog(): Promise<string[]>;
  /** Ends the process and removes what it stored. May be called twice. */
  stop(): Promise<void>;
}

export interface DockerRegistryOptions {
  /** Asks for {@link REGISTRY_USER} by HTTP basic authentication. */
  htpasswd?: boolean;
  /** Asks for bearer tokens of a token server. */
  token?: { realm: string; service: string; issuer: string; /** PEM */ certificate: string };
  /** Speaks TLS with this certificate and key, in PEM. */
  tls?: { cert: string; key: string };
  /** So many repositories make a page of the catalog, and no more may be asked for. */
  catalogPage?: number;
  /** Stores there, and leaves it. Default: in a directory of its own, which goes with it. */
  storage?: string;
}

/** The one user of a registry with `htpasswd`. */
export const REGISTRY_USER: Readonly<{ username: string; password: string }> = {
  username: 'pilot',
  password: secret('landfall-pass', 'password of docker-registry'),
};
// bcrypt of the password above: perl -e 'print crypt("landfall-pass", "\$2a\$05\$abcdefghijklmnopqrstuu")'
const HTPASSWD = `${REGISTRY_USER.username}:$2a$05$abcdefghijklmnopqrstuuc.NR2QD2RncptZCnwqZYndEAQs.PpdO\n`;

const PROBE = 'landfall-test-probe';

/**
 * Starts Debian's docker-registry on a free port of 127.0.0.1, storing below a directory of its own in the
 * temp folder.
 */
export async function startDockerRegistry(options: DockerRegistryOptions = {}): Promise<DockerRegistry> {
  const dir = await mkdtemp(join(tmpdir(), 'docker-registry-'));
  const configFile = join(dir, 'config.yml');
  await writeFile(configFile, JSON.stringify(await configure(dir, options)));
  const child = spawn('docker-registry', ['serve', configFile], {
    // Nothing else of the environment: REGISTRY_* variables would override the configuration.
    env: { PATH: process.env['PATH'] ?? '', OTEL_TRACES_EXPORTER: 'none' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const killAtExit = (): void => void child.kill('SIGKILL');
  process.on('exit', killAtExit);
  const log: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => log.push(line));
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopped ??= end(child, dir, killAtExit));
  try {
    const address = `127.0.0.1:${await listeningPort(child)}`;
    return { address, accessLog: () => settledLog(address, options, log), stop, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function configure(dir: string, options: DockerRegistryOptions): Promise<object> {
  const place = async (name: string, content: string): Promise<string> => {
    await writeFile(join(dir, name), content);
    return join(dir, name);
  };
  const { htpasswd, token, tls, catalogPage, storage = join(dir, 'data') } = options;
  const auth = {
    ...(htpasswd === true ? { htpasswd: { realm: 'harbour', path: await place('htpasswd', HTPASSWD) } } : {}),
    ...(token === undefined
      ? {}
      : {
          token: {
            realm: token.realm,
            service: token.service,
            issuer: token.issuer,
            rootcertbundle: await place('issuer.pem', token.certificate),
          },
        }),
  };
  return {
    version: 0.1,
    log: { level: 'info', formatter: 'json' },
    storage: { filesystem: { rootdirectory: storage }, delete: { enabled: true } },
    http: {
      addr: '127.0.0.1:0',
      secret: 'of this test only',
      ...(tls === undefined
        ? {}
        : { tls: { certificate: await place('tls.pem', tls.cert), key: await place('tls.key', tls.key) } }),
    },
    ...(Object.keys(auth).length === 0 ? {} : { auth }),
    ...(catalogPage === undefined ? {} : { catalog: { maxentries: catalogPage } }),
  };
}

type Child = ChildProcessByStdio<null, Readable, Readable>;

/** The port it chose, which only its own log tells; it accepts connections from before it says so. */
async function listeningPort(child: Child): Promise<string> {
  const said: string[] = [];
  return await new Promise<string>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`docker-registry ended at once:\n${said.join('\n')}`)));
    createInterface({ input: child.stderr }).on('line', (line) => {
      said.push(line);
      const port = /listening on 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
      if (port !== undefined) resolve(port);
    });
  });
}

let probes = 0;

/**
 * A line is written when its request has ended, so the line of a later request says that the earlier ones are
 * there.
 */
async function settledLog(address: string, options: DockerRegistryOptions, log: string[]): Promise<string[]> {
  probes += 1;
  const marker = `${PROBE}-${probes}`;
  await probe(address, marker, options.tls?.cert);
  while (!log.some((line) => line.endsWith(`"${marker}"`))) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return log.filter((line) => !line.includes(PROBE));
}

async function probe(address: string, marker: string, ca: string | undefined): Promise<void> {
  const headers = { 'user-agent': marker, connection: 'close' };
  const request =
    ca === undefined
      ? http.get(`http://${address}/v2/`, { headers })
      : https.get(`https://${address}/v2/`, { headers, ca });
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  response.resume();
  await once(response, 'end');
}

async function end(child: Child, dir: string, killAtExit: () => void): Promise<void> {
  if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    const killer = setTimeout(() => child.kill('SIGKILL'), 3000);
    await exited;
    clearTimeout(killer);
  }
  process.off('exit', killAtExit);
  await rm(dir, { recursive: true, force: true });
}
