import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { type CommandOptions, type CommandResult, runCommand } from './landfall-command.js';
import { landfall } from './warm-command.js';

/** What landfall says of an image under a policy. */
export interface Verdict {
  /** The exit status. */
  readonly exit: number | undefined;
  /** Of the error, where it is one. */
  readonly code?: string;
  readonly message?: string;
  readonly hint?: string;
  readonly details?: { readonly policy?: string; readonly scope?: string; readonly line?: number };
  /** Where it is pulled. */
  readonly signatures?: readonly {
    readonly digest: string;
    readonly signedBy: string;
    readonly format: string;
  }[];
  /** What is in the store, or the layout, after a refusal. */
  readonly left: readonly string[];
}

export interface PolicyRunsOptions {
  /** Registries where skopeo is to look for signatures, which it does nowhere by itself. */
  readonly addresses: readonly string[];
  /** Where skopeo is started. */
  readonly cwd?: string;
}

interface PulledJson {
  readonly signatures?: Verdict['signatures'];
}

/** Runs landfall and skopeo under policies, each time with a store that is new. */
export class PolicyRuns {
  readonly #work: string;
  readonly #cwd: string;
  readonly #registriesD: string;
  #runs = 0;

  private constructor(work: string, cwd: string) {
    this.#work = work;
    this.#cwd = cwd;
    this.#registriesD = join(work, 'registries.d');
  }

  static async in(work: string, { addresses, cwd = work }: PolicyRunsOptions): Promise<PolicyRuns> {
    const runs = new PolicyRuns(work, cwd);
    await mkdir(runs.#registriesD);
    const sections = addresses.map((address) => `  ${address}:\n    use-sigstore-attachments: true\n`);
    await writeFile(join(runs.#registriesD, 'tests.yaml'), `docker:\n${sections.join('')}`);
    return runs;
  }

  /** Writes a policy down. A text is taken as it is. Gives the file's path. */
  async policy(name: string, policy: object | string): Promise<string> {
    const file = join(this.#work, `${name.replace(/\W+/g, '-')}.json`);
    await writeFile(file, typeof policy === 'string' ? policy : `${JSON.stringify(policy, undefined, 2)}\n`);
    return file;
  }

  async pull(policy: string, image: string, options: CommandOptions = {}): Promise<Verdict> {
    return await this.#fresh(async (place) => {
      const root = join(place, 'root');
      // Whether it is unpacked changes nothing, but takes as long as all the rest.
      const args = ['pull', '--no-unpack', '--root', root, '--policy', policy, '--output', 'json', image];
      const result = await landfall(args, options);
      if (result.code !== 0) return { ...verdictOf(result), left: await filesOf(root) };
      const [pulled] = JSON.parse(result.stdout) as PulledJson[];
      return { exit: 0, left: [], signatures: pulled?.signatures ?? [] };
    });
  }

  async copy(policy: string, image: string, options: CommandOptions = {}): Promise<Verdict> {
    return await this.#fresh(async (place) => {
      const [root, layout] = [join(place, 'root'), join(place, 'layout')];
      const to = ['--output', 'json', `docker://${image}`, `oci:${layout}:1`];
      const args = ['copy', '--root', root, '--policy', policy, ...to];
      const result = await landfall(args, options);
      const left = result.code === 0 ? [] : [...(await filesOf(root)), ...(await filesOf(layout))];
      return { ...verdictOf(result), left };
    });
  }

  /** Whether skopeo copies the image, and what it says. */
  async skopeo(policy: string, image: string): Promise<CommandResult> {
    return await this.#fresh(async (place) => {
      const global = ['--registries.d', this.#registriesD, '--policy', policy];
      const options = ['--quiet', '--remove-signatures', '--src-tls-verify=false'];
      const to = [`docker://${image}`, `oci:${join(place, 'layout')}:1`];
      return await runCommand('skopeo', [...global, 'copy', ...options, ...to], { cwd: this.#cwd });
    });
  }

  async #fresh<T>(run: (place: string) => Promise<T>): Promise<T> {
    const place = await mkdtemp(join(this.#work, `run-${(this.#runs += 1)}-`));
    try {
      return await run(place);
    } finally {
      await rm(place, { recursive: true, force: true });
    }
  }
}

function verdictOf({ code, stderr }: CommandResult): Omit<Verdict, 'left'> {
  if (code === 0) return { exit: 0 };
  const line = stderr.split('\n').find((text) => text.startsWith('{'));
  if (line === undefined) throw new Error(`landfall ended with ${code}:\n${stderr}`);
  return { exit: code, ...(JSON.parse(line) as Omit<Verdict, 'exit' | 'left'>) };
}

/** Blobs, whole or not, of a store or a layout, and the names that it knows. */
async function filesOf(layout: string): Promise<string[]> {
  const below = async (folder: string): Promise<string[]> => {
    try {
      const found = await readdir(join(layout, folder), { recursive: true, withFileTypes: true });
      return found.filter((entry) => entry.isFile()).map(({ name }) => join(folder, name));
    } catch {
      return [];
    }
  };
  return [...(await below('blobs')), ...(await below('ingest')), ...(await namesIn(layout))];
}

async function namesIn(layout: string): Promise<string[]> {
  let text: string;
  try {
    text = await readFile(join(layout, 'index.json'), 'utf8');
  } catch {
    return [];
  }
  const { manifests } = JSON.parse(text) as { manifests: { digest: string }[] };
  return manifests.map(({ digest }) => digest);
}
