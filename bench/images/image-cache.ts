import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { ImageRecipe } from '../contract.js';
import { type ImageLayout, type LayoutInfo, NewLayout } from './layout.js';

/**
 * The images as OCI layouts, one directory each, `<name>-<version>`, with what a manifest does not tell in
 * `layout-facts.json`. A directory has its name once it is whole.
 */
export class ImageCache {
  readonly #directory: string;
  readonly #scratch: string;
  readonly #say: (text: string) => void;
  readonly #ready = new Map<string, Promise<ImageLayout>>();

  /**
   * @param directory where the layouts stay, on a disk
   * @param scratch where the files of layers are while they are made, best on tmpfs: up to 2.5 GB
   * @param say tells of what takes long
   */
  constructor(directory: string, scratch: string, say: (text: string) => void) {
    this.#directory = directory;
    this.#scratch = scratch;
    this.#say = say;
  }

  /** The layout of an image, which is made where the cache does not have it. */
  layoutOf(recipe: ImageRecipe): Promise<ImageLayout> {
    const name = `${recipe.name}-${recipe.version}`;
    const ready = this.#ready.get(name) ?? this.#find(recipe, name);
    this.#ready.set(name, ready);
    return ready;
  }

  async #find(recipe: ImageRecipe, name: string): Promise<ImageLayout> {
    const directory = join(this.#directory, name);
    const info = (await readInfo(directory)) ?? (await this.#make(recipe, directory));
    return { directory, ...info };
  }

  async #make(recipe: ImageRecipe, directory: string): Promise<LayoutInfo> {
    this.#say(`making the image ${recipe.name}, once; it stays in ${this.#directory}`);
    await this.#removeOtherVersions(recipe);
    const partial = await mkdtemp(join(this.#directory, '.partial-'));
    const scratch = await mkdtemp(join(this.#scratch, 'image-'));
    try {
      const layout = new NewLayout(partial, (other) => this.layoutOf(other));
      await recipe.build(layout, scratch);
      const info = await layout.commit(ARCHITECTURES[process.arch] ?? process.arch);
      await writeFile(join(partial, FACTS), JSON.stringify(info, undefined, 2));
      await rename(partial, directory);
      return info;
    } finally {
      await Promise.all([partial, scratch].map((each) => rm(each, { recursive: true, force: true })));
    }
  }

  async #removeOtherVersions({ name }: ImageRecipe): Promise<void> {
    await mkdir(this.#directory, { recursive: true });
    const old = (await readdir(this.#directory)).filter(
      (entry) => entry.slice(0, entry.lastIndexOf('-')) === name,
    );
    for (const entry of old) await rm(join(this.#directory, entry), { recursive: true });
  }
}

const FACTS = 'layout-facts.json';

/** Go's names, which image configurations use, for Node's. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

async function readInfo(directory: string): Promise<LayoutInfo | undefined> {
  try {
    return JSON.parse(await readFile(join(directory, FACTS), 'utf8')) as LayoutInfo;
  } catch {
    return undefined;
  }
}

/** Below $XDG_CACHE_HOME (XDG Base Directory Specification). */
export function cacheDirectory(): string {
  const base = process.env['XDG_CACHE_HOME'];
  return join(base === undefined || base === '' ? join(homedir(), '.cache') : base, 'landfall-bench');
}
