import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { bound, output } from '../bound-process.js';

export type CriMethod =
  | 'ListImages'
  | 'ImageStatus'
  | 'PullImage'
  | 'RemoveImage'
  | 'ImageFsInfo'
  | 'Version'
  | 'Status'
  | 'RunPodSandbox'
  | 'StopPodSandbox'
  | 'RemovePodSandbox'
  | 'ListPodSandbox'
  | 'CreateContainer'
  | 'StartContainer'
  | 'StopContainer'
  | 'RemoveContainer'
  | 'ContainerStatus'
  | 'ListContainers'
  | 'ExecSync';

export interface CallLimits {
  /** The deadline of the call, in milliseconds. */
  readonly timeoutMs?: number;
  /** When the client gives it up, in milliseconds. */
  readonly cancelMs?: number;
}

/**
 * What the client prints of a message: the JSON of upstream's stubs, in which what is not set is left out.
 */
export interface CriAnswer<T> {
  readonly response?: T;
  readonly error?: { readonly code: string; readonly message: string };
  readonly micros: number;
}

export interface CriImage {
  readonly id: string;
  readonly repo_tags?: readonly string[];
  readonly repo_digests?: readonly string[];
  readonly size?: number;
  readonly uid?: { readonly value?: number };
  readonly username?: string;
  readonly spec?: { readonly image?: string; readonly annotations?: Readonly<Record<string, string>> };
  readonly pinned?: boolean;
}

/** Where the stubs of Debian's golang-github-kubernetes-cri-api-dev lie. */
const STUBS = '/usr/share/gocode/src/k8s.io/cri-api/pkg/apis/runtime/v1/api.pb.go';
/** In the repository, wherever this was compiled to. */
const SOURCE =
  [import.meta.dirname, resolve(import.meta.dirname, '../../../bench/cri')]
    .map((directory) => join(directory, 'main.go'))
    .find((path) => existsSync(path)) ?? '';

/** Why the client cannot be built here; undefined where it can. */
export async function whyNoCriClient(): Promise<string | undefined> {
  const hasGo = await output('go', ['version']).then(
    () => true,
    () => false,
  );
  return hasGo && existsSync(STUBS) ? undefined : 'not here: go, or golang-github-kubernetes-cri-api-dev';
}

let built: Promise<string> | undefined;

/** The path of the client's program, which is built from Debian's packages once in this process. */
export function criClientProgram(): Promise<string> {
  return (built ??= buildClient());
}

async function buildClient(): Promise<string> {
  const work = await mkdtemp(join(tmpdir(), 'landfall-cri-client-'));
  process.once('exit', () => rmSync(work, { recursive: true, force: true }));
  const source = join(work, 'src', 'cri-client');
  await mkdir(source, { recursive: true });
  await copyFile(SOURCE, join(source, 'main.go'));
  const binary = join(work, 'cri-client');
  await output('env', [
    ...['-C', work, 'GO111MODULE=off', 'GOFLAGS=', `GOPATH=${work}:/usr/share/gocode`, 'CGO_ENABLED=0'],
    ...[`GOCACHE=${join(tmpdir(), 'landfall-go-build')}`, `HOME=${work}`],
    ...['go', 'build', '-o', binary, 'cri-client'],
  ]);
  return binary;
}

export interface CriClientOptions {
  /** Told of each line that the client prints. */
  readonly onLine?: (line: string) => void;
}

/** A client of CRI with upstream's stubs, over one connection. */
export class CriClient implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #waiting = new Map<number, (answer: CriAnswer<never>) => void>();
  #count = 0;

  private constructor(child: ChildProcessByStdio<Writable, Readable, null>, { onLine }: CriClientOptions) {
    this.#child = child;
    createInterface({ input: child.stdout }).on('line', (line) => {
      onLine?.(line);
      const { id, ...answer } = JSON.parse(line) as CriAnswer<never> & { id: number };
      this.#waiting.get(id)?.(answer);
      this.#waiting.delete(id);
    });
  }

  /** @param socket its path */
  static async connect(socket: string, options: CriClientOptions = {}): Promise<CriClient> {
    const binary = await criClientProgram();
    const child = bound(spawn(binary, [`unix://${socket}`], { stdio: ['pipe', 'pipe', 'inherit'] }));
    return new CriClient(child, options);
  }

  /** Calls a method, and gives what came of it. */
  async ask<T>(method: CriMethod, request: object = {}, limits: CallLimits = {}): Promise<CriAnswer<T>> {
    this.#count += 1;
    const id = this.#count;
    return await new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#child.stdin.write(`${JSON.stringify({ id, method, request, ...limits })}\n`);
    });
  }

  /** The same for a call that is to succeed. */
  async call<T>(method: CriMethod, request: object = {}, limits: CallLimits = {}): Promise<T> {
    const { response, error } = await this.ask<T>(method, request, limits);
    if (error !== undefined) throw new Error(`${method}: ${error.code}: ${error.message}`);
    return response as T;
  }

  /** The ID of the image. */
  async pull(image: string, auth?: object): Promise<string> {
    const { image_ref: id } = await this.call<{ image_ref: string }>('PullImage', {
      image: { image },
      ...(auth === undefined ? {} : { auth }),
    });
    return id;
  }

  async status(image: string): Promise<CriImage | undefined> {
    return (await this.call<{ image?: CriImage }>('ImageStatus', { image: { image } })).image;
  }

  async list(image?: string): Promise<readonly CriImage[]> {
    const filter = image === undefined ? {} : { filter: { image: { image } } };
    return (await this.call<{ images?: readonly CriImage[] }>('ListImages', filter)).images ?? [];
  }

  async remove(image: string): Promise<void> {
    await this.call('RemoveImage', { image: { image } });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.stdin.end();
    const killer = setTimeout(() => this.#child.kill('SIGKILL'), 5_000);
    await ended;
    clearTimeout(killer);
  }
}
