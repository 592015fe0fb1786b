import { randomUUID } from 'node:crypto';
import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import type { CommandOptions, CommandResult } from './landfall-command.js';
import { MountNamespace, outputAt, type Place } from './mount-namespace.js';
import type { WarmCommand } from './warm-command.js';

export interface PowerCutDiskOptions {
  /** Bytes of the disk. Default 256 MiB; only what is written takes memory. */
  readonly size?: number;
  /**
   * Seconds after which ext4 brings its journal to the disk by itself. Default: its own 5. A long time leaves
   * on the disk only what somebody asked for.
   */
  readonly commitSeconds?: number;
}

/** What is on the disk when the power comes back. */
export interface DiskAfterCut extends AsyncDisposable {
  /** Where it is mounted; its paths are those of the disk. */
  readonly path: string;
}

/** A write to the disk is seen by the time of its file, which has the kernel's ticks of at most 10 ms. */
const QUIET_MS = 30;

/**
 * An ext4 file system whose power can be cut. It lies on a loop device over a file on a tmpfs, so the file
 * holds what a disk would hold, and nothing of what only the page cache knows. A copy of the file is the disk
 * after a cut; mounting it replays the journal, as a machine does that starts again.
 */
export class PowerCutDisk implements Place, AsyncDisposable {
  readonly namespace: MountNamespace;
  /** Where the disk is mounted. */
  readonly path: string;
  /** A directory beside the disk, for what is no part of it. */
  readonly scratch: string;
  #cuts = 0;

  private constructor(namespace: MountNamespace) {
    this.namespace = namespace;
    this.path = join(namespace.directory, 'mounted');
    this.scratch = join(namespace.directory, 'scratch');
  }

  static async start({ size = 256 << 20, commitSeconds }: PowerCutDiskOptions = {}): Promise<PowerCutDisk> {
    const disk = new PowerCutDisk(await MountNamespace.start());
    try {
      const { namespace } = disk;
      await mkdir(namespace.reach(disk.path));
      await mkdir(namespace.reach(disk.scratch));
      await outputAt(namespace, 'truncate', '-s', `${size}`, disk.#file);
      // With blocks of 4096 bytes, as on a disk of usual size: with smaller ones, SQLite's shared memory may
      // find no block for a page that it has (SIGBUS).
      const made = ['-q', '-F', '-b', '4096', '-J', 'size=4', '-E', 'nodiscard', disk.#file];
      await outputAt(namespace, 'mkfs.ext4', ...made);
      const options = commitSeconds === undefined ? 'loop' : `loop,commit=${commitSeconds}`;
      await outputAt(namespace, 'mount', '-o', options, disk.#file, disk.path);
      return disk;
    } catch (error) {
      await disk[Symbol.asyncDispose]();
      throw error;
    }
  }

  run(command: string, args: readonly string[], options?: CommandOptions): Promise<CommandResult> {
    return this.namespace.run(command, args, options);
  }

  get landfall(): WarmCommand {
    return this.namespace.landfall;
  }

  reach(path: string): string {
    return this.namespace.reach(path);
  }

  /** Brings everything to the disk, so that a later cut shows only what came after. */
  async sync(): Promise<void> {
    await outputAt(this, 'sync', '-f', this.path);
  }

  /**
   * Cuts the power: gives the disk as it is at this moment, and from then on it is another boot of the
   * machine. Whoever writes to it must have ended or been stopped before. What the kernel itself is writing
   * just then is awaited, for a copy that mixes two moments would be a disk that no cut leaves.
   */
  async cut(): Promise<DiskAfterCut> {
    this.#cuts += 1;
    const file = join(this.namespace.directory, `copy-${this.#cuts}`);
    const path = join(this.namespace.directory, `after-${this.#cuts}`);
    for (;;) {
      const before = await this.#quiet();
      await outputAt(this, 'cp', '--sparse=always', this.#file, file);
      if ((await this.#writtenAt()) === before) break;
    }
    await mkdir(this.reach(path));
    await outputAt(this, 'mount', '-o', 'loop', file, path);
    await this.#boot();
    return {
      path,
      [Symbol.asyncDispose]: async () => {
        await outputAt(this, 'umount', path);
        await rm(this.reach(file));
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.namespace[Symbol.asyncDispose]();
  }

  get #file(): string {
    return join(this.namespace.directory, 'disk');
  }

  /** The kernel has one ID for each time that it was started; here it gets another. */
  async #boot(): Promise<void> {
    const file = join(this.namespace.directory, `boot-${this.#cuts}`);
    await writeFile(this.reach(file), `${randomUUID()}\n`);
    await outputAt(this, 'mount', '--bind', file, '/proc/sys/kernel/random/boot_id');
    // No process is older than the boot.
    await this.landfall[Symbol.asyncDispose]();
  }

  async #writtenAt(): Promise<number> {
    return (await stat(this.reach(this.#file))).mtimeMs;
  }

  /** When the disk was written last, once that is a moment ago. */
  async #quiet(): Promise<number> {
    for (;;) {
      const at = await this.#writtenAt();
      if (Date.now() - at > QUIET_MS) return at;
      await sleep(QUIET_MS / 3);
    }
  }
}
