import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CommandResult } from '../landfall-command.js';
import { installCrictl } from './crictl.js';
import { type DocumentedContent, DocumentedRegistries, type Network } from './documented-registries.js';
import { FreshMachine, type RunningCommand } from './fresh-machine.js';
import type { CommandBlock } from './page-blocks.js';
import { differenceFrom } from './shown-output.js';

/** What machines on either side of an air gap reach; others reach all. */
const REACHED: Readonly<Record<string, readonly Network[]>> = { near: ['internet'], far: ['site'] };

/** How long what stays running may take until it has said what a page shows, in milliseconds. */
const SAYING = 10_000;

/**
 * Follows a page: types its blocks of commands, in their order, on machines that are fresh when the page
 * begins. What `near` and `far` have in common is only what lies below /media.
 */
export class PageRun implements AsyncDisposable {
  readonly #registries: DocumentedRegistries;
  readonly #media: string;
  readonly #machines = new Map<string, FreshMachine>();

  private constructor(registries: DocumentedRegistries, media: string) {
    this.#registries = registries;
    this.#media = media;
  }

  static async start(content: DocumentedContent): Promise<PageRun> {
    const media = await mkdtemp(join(tmpdir(), 'landfall-media-'));
    await mkdir(media, { recursive: true });
    return new PageRun(await DocumentedRegistries.start(content), media);
  }

  /** The machine that a page calls so. */
  async machine(name: string): Promise<FreshMachine> {
    const known = this.#machines.get(name);
    if (known !== undefined) return known;
    const machine = await FreshMachine.start({ media: this.#media });
    this.#machines.set(name, machine);
    await this.#registries.connect(machine, REACHED[name] ?? ['internet', 'site']);
    return machine;
  }

  /**
   * Has the next block typed on machines that are fresh again. Registries, and what lies below /media, stay
   * as they are.
   */
  async leaveMachines(): Promise<void> {
    const machines = [...this.#machines.values()];
    this.#machines.clear();
    for (const machine of machines) await machine[Symbol.asyncDispose]();
  }

  /** @throws Error where the commands end otherwise, or print something else, than the page says */
  async follow(block: CommandBlock): Promise<void> {
    const machine = await this.machine(block.at);
    for (const command of block.first) {
      const { code, stderr } = await machine.type(command);
      if (code !== 0) throw new Error(`${where(block)}: first: ${command}\n${stderr}`);
    }
    // It takes a while to build what stands for it.
    if (/\bcrictl\b/.test(block.commands)) await installCrictl(machine);
    if (block.staysRunning) await followRunning(block, await start(machine, block));
    else followed(block, await machine.type(block.commands));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.leaveMachines();
    await this.#registries[Symbol.asyncDispose]();
    await rm(this.#media, { recursive: true, force: true });
  }
}

function where({ page, line, commands }: CommandBlock): string {
  return `${page}:${line}\n${commands}`;
}

function followed(block: CommandBlock, { code, stdout, stderr }: CommandResult): void {
  if (code !== block.exit)
    throw new Error(`${where(block)}\nended with ${code}, not ${block.exit}:\n${stdout}${stderr}`);
  if (block.shown === undefined) return;
  // What was done is answered on standard output; why it was not, is told at the end of the other one.
  const printed = code === 0 ? stdout : stderr.slice(Math.max(0, stderr.lastIndexOf('\nlandfall: ')));
  const difference = differenceFrom(block.shown.text, printed);
  if (difference !== undefined) throw new Error(`${where(block)}\n${difference}\nand:\n${stderr}`);
}

async function start(machine: FreshMachine, block: CommandBlock): Promise<RunningCommand> {
  return await machine.typeElsewhere(block.commands).catch((error: unknown) => {
    throw new Error(where(block), { cause: error });
  });
}

async function followRunning(block: CommandBlock, running: RunningCommand): Promise<void> {
  if (block.shown === undefined) return;
  const deadline = Date.now() + SAYING;
  for (;;) {
    const difference = differenceFrom(block.shown.text, running.stdout);
    if (difference === undefined) return;
    if (Date.now() > deadline) throw new Error(`${where(block)}\n${difference}\nand:\n${running.stderr}`);
    await sleep(20);
  }
}
