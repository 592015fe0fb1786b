import { closeSync } from 'node:fs';
import type { Resolver } from '../../../src/system/index.js';
import { MAX_ID, resolveUser } from '../../../src/unpack/bundle/process-user.js';
import { readRootFile } from '../../../src/unpack/bundle/bundle-config.js';
import { filesystemError } from '../../../src/unpack/terms/layer-fault.js';
import { openTree } from '../../../src/unpack/disk/tree-walk.js';
import { END, file, symlink } from '../../support/tar-builder.js';
import { extractLayer, PLAINLY, RESOLVERS } from '../extract-layer.js';
import type { FuzzTarget } from '../fuzz-target.js';
import { mutateBytes } from '../mutate-archive.js';
import { component, decimal, OUTSIDE_DIRECTORY, target } from '../nasty.js';
import { randomLayer } from '../random-layer.js';
import type { Random } from '../random.js';
import { OUTSIDE_CONTENT } from '../sandbox.js';
import { checkSame, outcomeOfSync, Violation } from '../violation.js';

const FILES = ['/etc/passwd', '/etc/group'] as const;
const LIMIT = 64 * 1024;

/**
 * Who a bundle's process runs as: files that an image chose are read, and whatever they say is an ID or an
 * error.
 */
export const accountsTarget: FuzzTarget = {
  name: 'accounts',
  weight: 6,
  generate: (random) => {
    const parts = [randomLayer(random).subarray(0, -END.length)];
    for (const path of FILES) {
      const name = path.slice(1);
      parts.push(random.chance(0.6) ? file(name, accounts(random)) : symlink(name, target(random)));
    }
    if (random.chance(0.3))
      parts.push(symlink('etc', random.chance(0.5) ? OUTSIDE_DIRECTORY : target(random)));
    return { layers: [Buffer.concat([...parts, END]), Buffer.from(userText(random))] };
  },
  check: ({ layers: [archive = Buffer.alloc(0), user = Buffer.alloc(0)] }, { sandbox, random }) => {
    const directory = sandbox.bed('first');
    const extracted = outcomeOfSync(() => extractLayer(archive, directory, PLAINLY, random));
    if (!('done' in extracted)) return;
    const root = outcomeOfSync(() => openTree(directory));
    if (!('done' in root)) return;
    try {
      checkUser(root.done, user.toString('utf8'), archive);
    } finally {
      closeSync(root.done);
    }
  },
};

function checkUser(rootfd: number, user: string, archive: Buffer): void {
  const outcomes = RESOLVERS.map((resolver) =>
    outcomeOfSync(
      () =>
        resolveUser(user, (path) => {
          const text = read(rootfd, path, resolver);
          if (isFromOutside(text, archive)) throw new Violation('escape', `${path} was read outside`);
          return text;
        }),
      ['INVALID_MANIFEST'],
    ),
  );
  const [first] = outcomes;
  for (const other of outcomes) checkSame('by another resolver', first, other);
  if (first === undefined || !('done' in first)) return;
  const { uid, gid, additionalGids } = first.done;
  for (const id of [uid, gid, ...additionalGids]) {
    if (!Number.isInteger(id) || id < 0 || id > MAX_ID) throw new Violation('wrong', `${id} is no ID`);
  }
}

/**
 * What the layer itself has stands somewhere in its archive; only holes of a sparse file, which are zeros, do
 * not.
 */
function isFromOutside(text: string, archive: Buffer): boolean {
  if (text.includes(OUTSIDE_CONTENT)) return true;
  return !text.includes('\0') && !archive.includes(text, 0, 'latin1');
}

function read(rootfd: number, path: string, resolver: Resolver): string {
  try {
    return readRootFile(rootfd, path, { limit: LIMIT, resolver })?.toString('latin1') ?? '';
  } catch (error) {
    throw filesystemError(error, `reading ${path}`);
  }
}

function accounts(random: Random): Buffer {
  const lines = Array.from({ length: random.between(0, 6) }, () => {
    const fields = [name(random), 'x', decimal(random), decimal(random), '', '/home'];
    return random.chance(0.5) ? fields.join(':') : `${name(random)}:x:${decimal(random)}:${name(random)},a`;
  });
  const bytes = Buffer.from(`${lines.join('\n')}\n`, 'latin1');
  return random.chance(0.4) ? mutateBytes(bytes, random) : bytes;
}

function name(random: Random): string {
  return random.chance(0.7) ? random.pick(['a', 'b', 'root', '+', '-a', '#a', '']) : component(random);
}

function userText(random: Random): string {
  const [user, group] = [userPart(random), userPart(random)];
  return random.pick([user, `${user}:${group}`, '', `${user}:${group}:`]);
}

function userPart(random: Random): string {
  return random.chance(0.5) ? name(random) : decimal(random);
}
