import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const run = promisify(execFile);

/** Of typedoc's model, what is looked at here. */
interface Reflection {
  readonly id: number;
  readonly name: string;
  readonly kind: number;
  readonly comment?: {
    readonly summary: readonly { readonly text: string }[];
    readonly blockTags?: readonly { readonly tag: string }[];
  };
  readonly type?: {
    readonly type: string;
    readonly name?: string;
    readonly target?: unknown;
    readonly declaration?: Reflection;
  };
  readonly children?: readonly Reflection[];
  readonly signatures?: readonly Reflection[];
  readonly parameters?: readonly Reflection[];
}

/** typedoc: ReflectionKind. */
const KIND = {
  function: 64,
  class: 128,
  interface: 256,
  property: 1024,
  method: 2048,
  parameter: 32768,
} as const;

let rendered: string;
/** Every reflection, with the names that lead to it, and all of its ancestors. */
const found: { readonly path: string; readonly node: Reflection; readonly above: readonly Reflection[] }[] =
  [];
const byId = new Map<number, Reflection>();

beforeAll(async () => {
  rendered = await mkdtemp(join(tmpdir(), 'landfall-api-'));
  const model = join(rendered, 'model.json');
  // Warnings are errors: what is not documented, not exported, or linked to in vain.
  await run(process.execPath, ['node_modules/.bin/typedoc', '--out', join(rendered, 'api'), '--json', model]);
  walk(JSON.parse(await readFile(model, 'utf8')) as Reflection, []);
});
afterAll(() => rm(rendered, { recursive: true }));

function walk(value: unknown, above: readonly Reflection[]): void {
  if (typeof value !== 'object' || value === null) return;
  let below = above;
  if (isReflection(value)) {
    below = [...above, value];
    byId.set(value.id, value);
    found.push({ path: below.map(({ name }) => name).join(' > '), node: value, above });
  }
  for (const part of Object.values(value)) walk(part, below);
}

function isReflection(value: object): value is Reflection {
  return 'id' in value && typeof value.id === 'number' && 'kind' in value && 'name' in value;
}

function summaryOf({ comment }: Reflection): string {
  return comment?.summary.map(({ text }) => text).join('') ?? '';
}

/** Properties of what is exported, and not of what a parameter is made of. */
function properties(): { readonly path: string; readonly node: Reflection }[] {
  return found.filter(
    ({ node, above }) => node.kind === KIND.property && !above.some(({ kind }) => kind === KIND.parameter),
  );
}

/** Functions and methods that answer later. */
function asynchronous(): { readonly path: string; readonly node: Reflection }[] {
  return found
    .filter(({ node }) => node.kind === KIND.function || node.kind === KIND.method)
    .flatMap(({ path, node }) => (node.signatures ?? []).map((signature) => ({ path, node: signature })))
    .filter(({ node }) => /^(?:Promise|Async)/.test(node.type?.name ?? ''));
}

/** Whether a call can be aborted: some parameter has a `signal`. */
function takesSignal({ parameters = [] }: Reflection): boolean {
  return parameters.some(({ type }) => {
    const target = typeof type?.target === 'number' ? byId.get(type.target) : type?.declaration;
    return [target, target?.type?.declaration].some(
      (one) => one?.children?.some(({ name }) => name === 'signal') === true,
    );
  });
}

describe('docs/api', () => {
  it('is what typedoc renders of the package: npm run docs', async () => {
    const committed = await filesOf('docs/api');
    expect([...committed.keys()]).toContain('README.md');
    expect(committed).toEqual(await filesOf(join(rendered, 'api')));
  });

  it('says nothing of the machine or the day it was rendered on', async () => {
    for (const [name, text] of await filesOf('docs/api')) {
      expect(text.match(/\/(?:home|root|tmp|work)\/|\b20\d\d-\d\d-\d\d\b/g) ?? [], name).toEqual([]);
    }
  });
});

describe('every export', () => {
  it('has properties that say what they mean, but for those with one possible value', () => {
    expect(properties().length).toBeGreaterThan(300);
    const silent = properties().filter(({ node: { comment, type } }) => {
      const isMethod = type?.declaration?.signatures?.some((signature) => signature.comment !== undefined);
      return comment === undefined && type?.type !== 'literal' && isMethod !== true;
    });
    expect(silent.map(({ path }) => path)).toEqual([]);
  });

  it('tells the unit of each number, by its name or in words', () => {
    const numbers = properties().filter(({ node: { type } }) => type?.name === 'number');
    expect(numbers.length).toBeGreaterThan(80);
    const ofSizes = numbers.filter(({ node: { name } }) =>
      /^(?:size|snapshotSize|shared|unique|freed|reclaimable|length|offset|start|end|frontier)$/.test(name),
    );
    const ofTimes = numbers.filter(({ node: { name } }) => /^at$|Ms$/.test(name));
    expect(
      ofSizes.filter(({ node }) => !/\bbytes?\b|how many/i.test(summaryOf(node))).map(({ path }) => path),
    ).toEqual([]);
    expect(
      ofTimes.filter(({ node }) => !/\bmilliseconds\b|\bms\b/i.test(summaryOf(node))).map(({ path }) => path),
    ).toEqual([]);
  });

  /** What is left to do when all else is done does not fail. */
  const NEVER_THROWS: readonly string[] = ['[asyncDispose]', 'close', 'return', 'verify'];

  it('says what it throws where it answers later', () => {
    expect(asynchronous().length).toBeGreaterThan(50);
    const silent = asynchronous().filter(
      ({ node: { name, comment } }) =>
        !NEVER_THROWS.includes(name) && comment?.blockTags?.some(({ tag }) => tag === '@throws') !== true,
    );
    expect(silent.map(({ path }) => path)).toEqual([]);
  });

  /** Why each of these takes no signal. */
  const NOT_ABORTABLE: Readonly<Record<string, string>> = {
    '[asyncDispose]': 'it ends things',
    close: 'it ends things',
    return: 'it ends things',
    discard: 'it ends things',
    distrust: 'it asks nobody',
    hostsOf: 'it reads a few small files',
    info: 'it looks at one file or row',
    path: 'it looks at one file or row',
    get: 'it looks at one row',
    update: 'it writes one row',
    delete: 'it removes one file',
    list: 'its loop can be left',
    index: 'it reads one small file',
    names: 'it reads one small file',
    resolve: 'it reads one small file',
    open: 'it opens a file; its stream can be destroyed',
    write: 'it writes what is in memory',
    commit: 'an ingest is committed or not',
    next: 'what it is fetched with can be',
    acceptsEverything: 'it reads one small file',
    findPolicyFile: 'it looks at a few files',
    verify: 'it computes one hash',
  };

  it('can be aborted where it takes long', () => {
    const others = asynchronous().filter(({ node }) => !takesSignal(node));
    expect(
      others.filter(({ node: { name } }) => NOT_ABORTABLE[name] === undefined).map(({ path }) => path),
    ).toEqual([]);
    expect(
      Object.keys(NOT_ABORTABLE).filter((name) => !others.some(({ node }) => node.name === name)),
    ).toEqual([]);
  });
});

async function filesOf(directory: string): Promise<ReadonlyMap<string, string>> {
  const names = (await readdir(directory, { recursive: true })).filter((name) => name.endsWith('.md')).sort();
  return new Map(
    await Promise.all(
      names.map(async (name) => [name, await readFile(join(directory, name), 'utf8')] as const),
    ),
  );
}
