import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { NodeImage } from '../../src/daemon/cri/node-images.js';
import { PrePull } from '../../src/daemon/pre-pull.js';
import type { PullResult } from '../../src/engine/pull/pull-report.js';
import { failure } from '../support/registry-fixture.js';

const PAUSE = 'registry.k8s.io/pause:3.10';
const ALPINE = 'docker.io/library/alpine:latest';

describe('a list of images', () => {
  let work: string;
  let file: string;
  let prePull: PrePull;
  const here = new Set<string>();
  const broken = new Set<string>();
  const asked: string[] = [];
  const problems: (string | undefined)[] = [];
  let pinned: readonly string[] = [];

  beforeEach(async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
    work = await mkdtemp(join(tmpdir(), 'landfall-pre-pull-'));
    file = join(work, 'images');
    for (const set of [here, broken]) set.clear();
    asked.length = 0;
    problems.length = 0;
    prePull = new PrePull({
      file,
      images: { find: (name) => Promise.resolve(here.has(name) ? ({} as NodeImage) : undefined) },
      pulls: {
        pull: ({ reference }) => {
          asked.push(reference);
          if (broken.has(reference)) return Promise.reject(new Error('it is broken'));
          here.add(reference);
          return Promise.resolve({} as PullResult);
        },
      },
      pin: (names) => {
        pinned = [...names];
        return Promise.resolve();
      },
      onProblem: (_, reference) => problems.push(reference),
    });
  });
  afterEach(async () => {
    await prePull[Symbol.asyncDispose]();
    vi.useRealTimers();
    await rm(work, { recursive: true, force: true });
  });

  const write = async (text: string): Promise<void> => {
    await writeFile(file, text);
    // However short the test is, the file is another one.
    const moment = new Date(Date.now() + 1000 * (asked.length + 1));
    await utimes(file, moment, moment);
  };
  /** Lets time pass, and what it begins come to an end, files included. */
  const pass = async (ms: number): Promise<void> => {
    await vi.advanceTimersByTimeAsync(ms);
    for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  };

  it('is pulled at the start, each once, and pinned', async () => {
    await write(`# what a node needs\n\n${PAUSE}   # the sandbox\nalpine\n  ${PAUSE}\r\n`);
    await prePull.start();
    await vi.waitFor(() => expect(asked.toSorted()).toEqual([ALPINE, PAUSE]));
    expect(pinned).toEqual([PAUSE, ALPINE]);
    await pass(10 * 60_000);
    expect(asked).toHaveLength(2);
  });

  it('has an image with tag and digest as a kubelet that asks for it gets it', async () => {
    const digest = `sha256:${'d'.repeat(64)}`;
    await write(`${PAUSE}@${digest}`);
    await prePull.start();
    await vi.waitFor(() => expect(asked).toEqual([`registry.k8s.io/pause@${digest}`]));
    expect(pinned).toEqual([`registry.k8s.io/pause@${digest}`]);
  });

  it('brings back what is gone', async () => {
    await write(PAUSE);
    await prePull.start();
    await vi.waitFor(() => expect(asked).toEqual([PAUSE]));
    await pass(0);
    here.clear();
    await pass(60_000);
    await vi.waitFor(() => expect(asked).toEqual([PAUSE, PAUSE]));
  });

  it('tries again later and later what cannot be pulled, and does not hold up the others', async () => {
    await write(`${PAUSE}\n${ALPINE}`);
    broken.add(PAUSE);
    await prePull.start();
    await vi.waitFor(() => expect(here.has(ALPINE)).toBe(true));
    await vi.waitFor(() => expect(problems).toEqual([PAUSE]));
    await pass(9_000);
    expect(problems).toHaveLength(1);
    await pass(1_500);
    await vi.waitFor(() => expect(problems).toHaveLength(2));
    await pass(15_000);
    expect(problems).toHaveLength(2);
    await pass(6_000);
    await vi.waitFor(() => expect(problems).toHaveLength(3));
    broken.clear();
    await pass(60_000);
    await vi.waitFor(() => expect(here.has(PAUSE)).toBe(true));
  });

  it('is read again when it has changed, and stays what it was when it is gone', async () => {
    await write(PAUSE);
    await prePull.start();
    await vi.waitFor(() => expect(asked).toEqual([PAUSE]));
    await pass(0);
    await write(ALPINE);
    await pass(60_000);
    await vi.waitFor(() => expect(asked).toEqual([PAUSE, ALPINE]));
    expect(pinned).toEqual([ALPINE]);
    await pass(0);
    await rm(file);
    await pass(60_000);
    await vi.waitFor(() => expect(problems).toEqual([undefined]));
    expect(pinned).toEqual([ALPINE]);
  });

  it.each([
    ['is not there', undefined, 'ENOENT'],
    ['names what is no image', `${PAUSE}\nNOT AN IMAGE\n`, 'images:2'],
  ])('that %s is refused', async (_, text, said) => {
    if (text !== undefined) await write(text);
    const error = await failure(prePull.start());
    expect(error).toMatchObject({ code: 'INVALID_CONFIG', message: expect.stringContaining(said) as string });
  });
});
