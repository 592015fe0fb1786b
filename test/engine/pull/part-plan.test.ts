import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteRanges, type ByteSpan } from '../../../src/content/index.js';
import { type Part, PartPlan } from '../../../src/engine/pull/blob-download.js';

const MEBIBYTE = 1024 * 1024;
const AHEAD_BYTES = 256 * MEBIBYTE;

/** A plan over a clock that stands still but for `tick`, and what must hold of it whatever is done. */
class Model {
  readonly plan: PartPlan;
  readonly active: Part[] = [];
  readonly #missing = new ByteRanges();
  #now = 0;

  constructor(missing: readonly ByteSpan[]) {
    for (const { start, end } of missing) this.#missing.add(start, end);
    this.plan = new PartPlan(missing, () => this.#now);
  }

  get missing(): readonly ByteSpan[] {
    return this.#missing.spans;
  }

  tick(ms: number): void {
    this.#now += ms;
  }

  take(): Part | undefined {
    const part = this.plan.take();
    if (part === undefined) return undefined;
    expect(this.#unbegun()[0]?.start).toBe(part.start);
    expect(part.start - (this.missing[0]?.start ?? 0)).toBeLessThan(AHEAD_BYTES);
    return this.#added(part);
  }

  takeAll(): Part | undefined {
    const [gap] = this.#unbegun();
    const part = this.plan.takeAll();
    expect(part && { start: part.start, end: part.end }).toEqual(gap);
    return part && this.#added(part);
  }

  /** So many bytes of a part have come, as far as it goes. */
  came(part: Part, bytes: number): void {
    const at = Math.min(part.end, part.at + bytes);
    // A byte that is here already, or that another part brings, would be brought twice.
    expect(this.#missing.gaps(part.at, at)).toEqual([]);
    this.#missing.remove(part.at, at);
    part.at = at;
  }

  extend(part: Part, until: number): void {
    const before = part.end;
    if (part.at < before) return;
    const [gap] = this.#unbegun();
    const extended = this.plan.extend(part, until);
    expect(extended).toBe(gap?.start === before && until > before);
    if (extended) expect(part.end).toBeGreaterThan(before);
  }

  end(part: Part): void {
    this.plan.end(part);
    this.active.splice(this.active.indexOf(part), 1);
  }

  renew(): void {
    this.plan.renew(this.missing);
  }

  /** That parts do not overlap, and all that has not come is either under way or left to be begun. */
  check(): void {
    const sorted = this.active.filter(({ at, end }) => end > at).sort((a, b) => a.at - b.at);
    for (const [index, part] of sorted.entries())
      expect(part.end).toBeLessThanOrEqual(sorted[index + 1]?.at ?? Infinity);
    expect(this.plan.remaining).toBe(this.missing.reduce((sum, { start, end }) => sum + end - start, 0));
  }

  /** What is missing and not under way, in order. */
  #unbegun(): readonly ByteSpan[] {
    const unbegun = new ByteRanges();
    for (const { start, end } of this.missing) unbegun.add(start, end);
    for (const { at, end } of this.active) unbegun.remove(at, end);
    return unbegun.spans;
  }

  #added(part: Part): Part {
    expect(part.end).toBeGreaterThan(part.start);
    this.active.push(part);
    return part;
  }
}

type Step =
  | { readonly do: 'take' | 'takeAll' | 'renew' }
  | { readonly do: 'tick'; readonly ms: number }
  | { readonly do: 'end'; readonly part: number }
  | { readonly do: 'came' | 'extend'; readonly part: number; readonly bytes: number };

/** What is missing, as lengths by turns missing and here: up to some 6 GB. */
const missing = fc
  .array(fc.oneof(fc.integer({ min: 1, max: 900 * MEBIBYTE }), fc.integer({ min: 1, max: 3 })), {
    minLength: 1,
    maxLength: 7,
  })
  .map((lengths) => {
    let at = 0;
    return lengths.flatMap((length, index) => {
      const span = { start: at, end: at + length };
      at = span.end;
      return index % 2 === 0 ? [span] : [];
    });
  });
const part = fc.nat({ max: 15 });
const bytes = fc.oneof(fc.integer({ min: 1, max: 64 * MEBIBYTE }), fc.constant(1e12));
const steps = fc.array(
  fc.oneof<fc.Arbitrary<Step>[]>(
    fc.record({ do: fc.constantFrom('take', 'take', 'takeAll', 'renew') }),
    fc.record({ do: fc.constant('tick'), ms: fc.integer({ min: 1, max: 3_000 }) }),
    fc.record({ do: fc.constant('end'), part }),
    fc.record({ do: fc.constantFrom('came', 'came', 'extend'), part, bytes }),
  ),
  { maxLength: 60 },
);

function perform(model: Model, step: Step): void {
  const { active } = model;
  const chosen = 'part' in step ? active[step.part % Math.max(1, active.length)] : undefined;
  switch (step.do) {
    case 'take':
    case 'takeAll':
    case 'renew':
      model[step.do]();
      break;
    case 'tick':
      model.tick(step.ms);
      break;
    case 'end':
      if (chosen !== undefined) model.end(chosen);
      break;
    case 'came':
      if (chosen !== undefined) model.came(chosen, step.bytes);
      break;
    case 'extend':
      if (chosen !== undefined) model.extend(chosen, chosen.end + step.bytes);
      break;
  }
}

describe('the parts of a blob', () => {
  it('never overlap, begin in order near the frontier, and bring all that is missing once', () => {
    fc.assert(
      fc.property(missing, steps, (spans, todo) => {
        const model = new Model(spans);
        for (const step of todo) {
          perform(model, step);
          model.check();
        }
        // Whoever still brings something does so, and then nothing is left that nobody takes.
        while (model.missing.length > 0) {
          const next = model.active[0] ?? model.take();
          if (next === undefined) throw new Error('nobody brings what is left');
          model.came(next, Infinity);
          model.end(next);
          model.check();
        }
        expect(model.take()).toBeUndefined();
        expect(model.takeAll()).toBeUndefined();
      }),
      { numRuns: 500 },
    );
  });

  /** A plan of one gap that one connection has begun, and what came of it in a second. */
  function begun(size: number, came: number): { model: Model; first: Part } {
    const model = new Model([{ start: 0, end: size }]);
    const first = model.takeAll();
    if (first === undefined) throw new Error('nothing to begin');
    model.came(first, came);
    model.tick(1_000);
    return { model, first };
  }

  it('are about what one connection brings in a second, right behind one another', () => {
    const { model, first } = begun(1000 * MEBIBYTE, 10 * MEBIBYTE);
    const second = model.take();
    const third = model.take();
    expect(first.end).toBe(20 * MEBIBYTE);
    expect(second).toMatchObject({ start: 20 * MEBIBYTE, end: 30 * MEBIBYTE });
    expect(third?.start).toBe(30 * MEBIBYTE);
  });

  it('are no smaller than 1 MiB and no larger than 32 MiB', () => {
    const slow = begun(1000 * MEBIBYTE, 1);
    expect(slow.model.take()).toMatchObject({ start: 1 + MEBIBYTE, end: 1 + 2 * MEBIBYTE });
    const fast = begun(1000 * MEBIBYTE, 200 * MEBIBYTE);
    expect(fast.model.take()).toMatchObject({ start: 232 * MEBIBYTE, end: 264 * MEBIBYTE });
  });

  it('are split where one would take longest, when nothing else is left', () => {
    const model = new Model([
      { start: 0, end: 64 * MEBIBYTE },
      { start: 100 * MEBIBYTE, end: 164 * MEBIBYTE },
    ]);
    const slow = model.takeAll();
    const fast = model.takeAll();
    if (slow === undefined || fast === undefined) throw new Error('nothing to begin');
    model.came(slow, MEBIBYTE);
    model.came(fast, 40 * MEBIBYTE);
    model.tick(1_000);
    const third = model.take();
    expect(slow.end).toBeLessThan(64 * MEBIBYTE);
    expect(third?.start).toBe(slow.end);
    expect(fast.end).toBe(164 * MEBIBYTE);
  });

  it('are not split where what is left takes no time', () => {
    const { model } = begun(11 * MEBIBYTE, 10 * MEBIBYTE);
    expect(model.plan.worthHelp).toBe(false);
    expect(model.take()).toBeUndefined();
  });

  it.each([
    [9 * MEBIBYTE, true],
    [8 * MEBIBYTE, true],
    [8 * MEBIBYTE - 1, false],
  ])('with %i bytes left are worth another connection: %s', (size, worth) => {
    expect(new Model([{ start: 0, end: size }]).plan.worthHelp).toBe(worth);
  });

  it.each([
    ['300 kB at 10 kB/s', { left: 300_000, rate: 10_000, worth: true }],
    ['300 kB at 200 kB/s', { left: 300_000, rate: 200_000, worth: false }],
    ['5 MiB at 10 MiB/s', { left: 5 * MEBIBYTE, rate: 10 * MEBIBYTE, worth: false }],
    ['5 MiB at 1 MiB/s', { left: 5 * MEBIBYTE, rate: MEBIBYTE, worth: true }],
    ['so little that it is one request', { left: 40_000, rate: 100, worth: false }],
  ])('are worth another connection by the time that is left, not only by its bytes: %s', (_, row) => {
    const { model } = begun(row.left + row.rate, row.rate);
    expect(model.plan.worthHelp).toBe(row.worth);
  });

  it('of a slow tail are halves of it', () => {
    const { model, first } = begun(310_000, 10_000);
    expect(model.take()).toMatchObject({ start: 160_000, end: 310_000 });
    expect(first.end).toBe(160_000);
  });

  it('of a slow tail are as many as end about together, each of them worth a request', () => {
    const { model } = begun(310_000, 10_000);
    while (model.take() !== undefined) model.check();
    expect(model.active.length).toBeGreaterThanOrEqual(4);
    for (const { at, end } of model.active) expect(end - at).toBeGreaterThanOrEqual(32 * 1024);
  });

  it('of a slow connection are worth another one, however fast those were that have ended', () => {
    const model = new Model([
      { start: 0, end: 100 * MEBIBYTE },
      { start: 200 * MEBIBYTE, end: 200 * MEBIBYTE + 310_000 },
    ]);
    const fast = model.takeAll();
    const slow = model.takeAll();
    if (fast === undefined || slow === undefined) throw new Error('nothing to begin');
    model.came(fast, Infinity);
    model.came(slow, 10_000);
    model.tick(1_000);
    model.end(fast);
    expect(model.plan.worthHelp).toBe(true);
    expect(model.plan.secondsLeft).toBe(30);
    expect(model.take()?.start).toBe(slow.end);
  });

  it('are not split before it is known how fast they come', () => {
    const model = new Model([{ start: 0, end: 300_000 }]);
    const first = model.takeAll();
    if (first === undefined) throw new Error('nothing to begin');
    // A host that thinks before it answers is not slow when it sends.
    model.tick(5_000);
    model.plan.begun(first);
    model.came(first, 10_000);
    model.tick(900);
    expect(model.plan.worthHelp).toBe(false);
    expect(model.take()).toBeUndefined();
    model.tick(100);
    expect(model.plan.worthHelp).toBe(true);
  });

  it('say how long one connection would take for what is left', () => {
    expect(begun(310_000, 10_000).model.plan.secondsLeft).toBe(30);
    expect(begun(25 * MEBIBYTE, 5 * MEBIBYTE).model.plan.secondsLeft).toBe(4);
  });

  it('go on to the end of a host that sends all of it, and nobody else brings that', () => {
    const model = new Model([
      { start: 0, end: 5 },
      { start: 10, end: 20 },
    ]);
    const first = model.plan.takeAll();
    if (first === undefined) throw new Error('nothing to begin');
    model.plan.extendOverAll(first, 20);
    expect(first).toMatchObject({ start: 0, end: 20 });
    expect(model.plan.takeAll()).toBeUndefined();
  });
});
