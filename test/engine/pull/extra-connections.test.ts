import { describe, expect, it, vi } from 'vitest';
import { deferred } from '../../../src/concurrency/index.js';
import {
  type ExtraConnection,
  ExtraConnections,
  FairSlots,
  type HelpedDownload,
  type KnownDownload,
} from '../../../src/engine/pull/pull-budget.js';
import { useFakeClock } from '../../support/fake-clock.js';

const WATCH_MS = 100;
const MEBIBYTE = 1024 * 1024;

useFakeClock();

/** A download that takes all help it gets, and whose connections begin at once. */
class FakeDownload implements HelpedDownload {
  secondsLeft = 1000;
  worthHelp = true;
  beginsAtOnce = true;
  readonly helpers: ExtraConnection[] = [];

  help(connection: ExtraConnection): void {
    this.helpers.push(connection);
    if (this.beginsAtOnce) connection.begun();
  }

  /** Ends those that may not stay, one after the other. */
  endUnwanted(): void {
    for (const helper of [...this.helpers]) if (!helper.mayStay) this.end(helper);
  }

  end(helper: ExtraConnection): void {
    this.helpers.splice(this.helpers.indexOf(helper), 1);
    helper.end();
  }
}

interface NetworkOptions {
  readonly slots?: number;
  /** Bytes per second, of each connection. */
  readonly each?: number;
  /** Bytes per second, of all together. */
  readonly all?: number;
  /** The share of the time in which the event loop has nothing to do. */
  readonly idle?: number;
}

/** Downloads over a network that gives each connection, and all of them together, no more than so much. */
class Network {
  readonly slots: FairSlots;
  readonly extra: ExtraConnections;
  readonly #downloads: { download: FakeDownload; known: KnownDownload; back: () => void }[] = [];
  readonly #each: number;
  readonly #all: number;

  constructor({ slots = 16, each = 10 * MEBIBYTE, all = Infinity, idle = 1 }: NetworkOptions = {}) {
    this.slots = new FairSlots(slots);
    this.extra = new ExtraConnections(this.slots, { now: () => Date.now(), idle: () => Date.now() * idle });
    this.#each = each;
    this.#all = all;
  }

  /** A download with the slot that it has waited for. */
  begin(
    options: Partial<Pick<FakeDownload, 'secondsLeft' | 'worthHelp' | 'beginsAtOnce'>> = {},
  ): FakeDownload {
    const back = this.slots.tryTake();
    if (back === undefined) throw new Error('no slot is free');
    const download = Object.assign(new FakeDownload(), options);
    this.#downloads.push({ download, known: this.extra.add(download), back });
    return download;
  }

  endAll(): void {
    for (const { download, known, back } of this.#downloads.splice(0)) {
      known.end();
      back();
      while (download.helpers[0] !== undefined) download.end(download.helpers[0]);
    }
  }

  /** So many connections there are. */
  get connections(): number {
    return this.#downloads.reduce((sum, { download }) => sum + 1 + download.helpers.length, 0);
  }

  /** Lets time pass, in which bytes come. */
  pass(ms: number): void {
    for (let passed = 0; passed < ms; passed += WATCH_MS / 4) {
      const rate = Math.min(this.#each, this.#all / this.connections);
      for (const { download, known } of this.#downloads)
        known.came((rate * (1 + download.helpers.length) * WATCH_MS) / 4 / 1000);
      vi.advanceTimersByTime(WATCH_MS / 4);
      for (const { download } of this.#downloads) download.endUnwanted();
    }
  }

  /** The numbers of connections that there were at the end of each watch, each once in a row. */
  numbers(watches: number): number[] {
    const seen: number[] = [this.connections];
    for (let watch = 0; watch < watches; watch += 1) {
      this.pass(WATCH_MS);
      if (seen.at(-1) !== this.connections) seen.push(this.connections);
    }
    return seen;
  }
}

describe('a large download', () => {
  it('gets twice as many connections, and again, while each brings as much', () => {
    const network = new Network({ slots: 12 });
    network.begin();
    expect(network.numbers(20)).toEqual([1, 2, 4, 8, 12]);
    expect(network.slots.free).toBe(0);
  });

  it('keeps one where that brings all there is, and tries again after longer and longer', () => {
    const network = new Network({ all: 10 * MEBIBYTE });
    network.begin();
    const triesAt: number[] = [];
    let connections = network.connections;
    for (let at = 0; at < 20_000; at += 50) {
      network.pass(50);
      if (network.connections > connections) triesAt.push(Date.now());
      connections = network.connections;
      expect(connections).toBeLessThanOrEqual(2);
    }
    expect(connections).toBe(1);
    expect(triesAt.length).toBeGreaterThan(2);
    const rests = triesAt.slice(1).map((at, index) => at - (triesAt[index] ?? 0));
    for (const [index, rest] of rests.entries()) expect(rest).toBeGreaterThan(2_000 * 2 ** index);
    for (const [index, rest] of rests.entries()) expect(rest).toBeLessThan(2_000 * 2 ** index + 1_500);
  });

  it('goes back to what was before the last try, where only that was too many', () => {
    const network = new Network({ all: 40 * MEBIBYTE });
    network.begin();
    expect(network.numbers(10)).toEqual([1, 2, 4, 8, 4]);
  });

  it.each<[string, NetworkOptions]>([
    ['that is as fast as anybody can unpack', { each: 64 * MEBIBYTE }],
    ['of a process that has no time for more', { idle: 0.4 }],
    ['where there are no slots beyond its own', { slots: 1 }],
  ])('stays with one connection %s', (_, options) => {
    const network = new Network(options);
    network.begin();
    network.pass(5_000);
    expect(network.connections).toBe(1);
  });

  it('stays with one connection that it is not worth more', () => {
    const network = new Network();
    network.begin({ worthHelp: false });
    network.pass(5_000);
    expect(network.connections).toBe(1);
  });

  it('gets no more before the last one’s first byte is here', () => {
    const network = new Network();
    const download = network.begin({ beginsAtOnce: false });
    network.pass(2_000);
    expect(network.connections).toBe(2);
    download.helpers[0]?.begun();
    network.pass(2 * WATCH_MS);
    expect(network.connections).toBe(4);
  });

  it('gets more after one that ended before its first byte', () => {
    const network = new Network();
    const download = network.begin({ beginsAtOnce: false });
    network.pass(WATCH_MS);
    const [helper] = download.helpers;
    if (helper === undefined) throw new Error('no help came');
    download.end(helper);
    helper.end();
    download.beginsAtOnce = true;
    network.pass(WATCH_MS);
    expect(network.connections).toBe(2);
  });

  it('gives back what it has beyond its own as soon as somebody waits', async () => {
    const network = new Network({ slots: 4 });
    const download = network.begin();
    network.pass(2_000);
    expect(download.helpers).toHaveLength(3);
    const ends = deferred<undefined>();
    let begun = false;
    const other = network.slots.run({ owner: {}, bytes: 1 }, async () => {
      begun = true;
      await ends.promise;
    });
    await Promise.resolve();
    expect(download.helpers.map(({ mayStay }) => mayStay)).toEqual([false, false, false]);
    const [helper] = download.helpers;
    if (helper !== undefined) download.end(helper);
    await new Promise((resolve) => setImmediate(resolve));
    expect(begun).toBe(true);
    expect(download.helpers.map(({ mayStay }) => mayStay)).toEqual([true, true]);
    ends.resolve(undefined);
    await other;
  });
});

describe('several downloads', () => {
  it('share further connections by the time that is left of each', () => {
    const network = new Network({ slots: 6 });
    const small = network.begin({ secondsLeft: 10 });
    const large = network.begin({ secondsLeft: 35 });
    network.pass(5_000);
    expect([small.helpers.length, large.helpers.length]).toEqual([1, 3]);
  });

  it('leave all of them to the one that needs them', () => {
    const network = new Network({ slots: 4 });
    const small = network.begin({ worthHelp: false });
    const large = network.begin();
    network.pass(5_000);
    expect([small.helpers.length, large.helpers.length]).toEqual([0, 2]);
  });

  it('leave neither a timer nor a slot behind, and what was learnt of them is forgotten', () => {
    const network = new Network({ all: 10 * MEBIBYTE });
    for (let round = 0; round < 3; round += 1) {
      network.begin();
      network.pass(WATCH_MS);
      expect(network.connections).toBe(2);
      network.pass(8 * WATCH_MS);
      expect(network.connections).toBe(1);
      network.endAll();
      expect(vi.getTimerCount()).toBe(0);
      expect(network.slots.free).toBe(16);
    }
  });
});
