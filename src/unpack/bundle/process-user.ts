import { SpecError } from '../../errors.js';
import { LIMITS, quoted } from '../../spec/index.js';
import { type BytePath, fromBytePath, toBytePath } from '../../system/index.js';

/** Who a container's process runs as, by the numbers that the container has for it. */
export interface ProcessUser {
  readonly uid: number;
  readonly gid: number;
  /** Groups beside the first, each once. */
  readonly additionalGids: readonly number[];
  /** The home directory that `/etc/passwd` has for it; undefined where it has none. */
  readonly home: string | undefined;
}

/** Reads one of the files that say who is who; empty where there is none. */
export type ReadAccounts = (path: '/etc/passwd' | '/etc/group') => BytePath;

/**
 * Finds out who `User` of an image's config is (image-spec: config.md; conversion.md: `Config.User`): `user`,
 * `uid`, `user:group`, `uid:gid`, `uid:group` or `user:gid`. What is numeric stands for itself; names are
 * looked up.
 *
 * Without a group it is the user's first one, 0 where `/etc/passwd` does not know the user. Additional groups
 * are those of `/etc/group` that list a user who was named by name and without a group. Left empty, the user
 * is the one with the number 0, with its groups.
 *
 * @throws {SpecError} INVALID_MANIFEST for a name that is not known, a number that is none, or another form;
 *   LIMIT_EXCEEDED for more groups than a process can have, and what `read` throws
 */
export function resolveUser(text: string, read: ReadAccounts): ProcessUser {
  const [user = '', group = '', ...more] = text.split(':');
  if (more.length > 0) throw invalidUser(text, 'has more than a user and a group');
  const uid = user === '' ? 0 : numeric(user, text);
  const account = findAccount(uid ?? toBytePath(user), read);
  if (uid === undefined && account === undefined) {
    throw invalidUser(text, `names a user that /etc/passwd of the image does not have: ${quoted(user)}`);
  }
  const byId = user !== '' && uid !== undefined;
  return {
    uid: uid ?? account?.uid ?? 0,
    gid: group === '' ? (account?.gid ?? 0) : findGroup(group, text, read),
    additionalGids: account === undefined || byId || group !== '' ? [] : groupsOf(account.name, read),
    home: account === undefined || account.home === '' ? undefined : fromBytePath(account.home),
  };
}

/** The first that fits, as everybody takes it. */
function findAccount(user: number | BytePath, read: ReadAccounts): Account | undefined {
  for (const account of parsePasswd(read('/etc/passwd'))) {
    if (user === (typeof user === 'number' ? account.uid : account.name)) return account;
  }
  return undefined;
}

function findGroup(group: string, text: string, read: ReadAccounts): number {
  const gid = numeric(group, text);
  if (gid !== undefined) return gid;
  const wanted = toBytePath(group);
  for (const { name, gid: found } of parseGroup(read('/etc/group'))) {
    if (name === wanted) return found;
  }
  throw invalidUser(text, `names a group that /etc/group of the image does not have: ${quoted(group)}`);
}

function groupsOf(user: BytePath, read: ReadAccounts): number[] {
  const gids = new Set<number>();
  for (const { gid, members } of parseGroup(read('/etc/group'))) {
    if (members.includes(user)) gids.add(gid);
  }
  if (gids.size > LIMITS.processGroups) {
    throw new SpecError(
      'LIMIT_EXCEEDED',
      `the user of the image is in ${gids.size} groups, more than ${LIMITS.processGroups}`,
      { details: { field: 'config.User', actual: gids.size, limit: LIMITS.processGroups } },
    );
  }
  return [...gids];
}

/** The number that a part of the text is; undefined for a name. */
function numeric(part: string, text: string): number | undefined {
  if (!/^\d+$/.test(part)) return undefined;
  const id = parseId(part);
  if (id === undefined) throw invalidUser(text, 'has a number that is too large for an ID');
  return id;
}

function invalidUser(text: string, fault: string): SpecError {
  return new SpecError('INVALID_MANIFEST', `config.User is ${quoted(text)} and ${fault}`, {
    hint: 'Ask the publisher for a new build; `landfall unpack` gives the root file system alone.',
    details: { field: 'config.User' },
  });
}

/** A line of `/etc/passwd`. */
export interface Account {
  readonly name: BytePath;
  readonly uid: number;
  /** Of its first group. */
  readonly gid: number;
  /** Empty where the line has none. */
  readonly home: BytePath;
}

/** A line of `/etc/group`. */
export interface Group {
  readonly name: BytePath;
  readonly gid: number;
  readonly members: readonly BytePath[];
}

/** The largest ID there is; the kernel takes the one above it for none. */
export const MAX_ID = 0xffff_fffe;

/**
 * The accounts of `/etc/passwd` (passwd(5)), in its order. What glibc would not take for one is passed over.
 */
export function* parsePasswd(text: BytePath): Generator<Account> {
  for (const line of entries(text)) {
    const [name = '', , uid = '', gid = '', , home = ''] = line.split(':');
    const ids = { uid: parseId(uid), gid: parseId(gid) };
    if (!isName(name) || ids.uid === undefined || ids.gid === undefined) continue;
    yield { name, uid: ids.uid, gid: ids.gid, home };
  }
}

/** The groups of `/etc/group` (group(5)), in its order. What glibc would not take for one is passed over. */
export function* parseGroup(text: BytePath): Generator<Group> {
  for (const line of entries(text)) {
    const [name = '', , number = '', list = ''] = line.split(':');
    const gid = parseId(number);
    if (!isName(name) || gid === undefined) continue;
    yield { name, gid, members: list.split(',').map((member) => member.trim()) };
  }
}

/** A number from 0 to {@link MAX_ID} in decimal digits, else undefined. */
function parseId(text: string): number | undefined {
  const id = /^\d{1,10}$/.test(text) ? Number(text) : MAX_ID + 1;
  return id <= MAX_ID ? id : undefined;
}

/** One line after the other, so that a file of nothing but line ends costs no list. */
function* entries(text: BytePath): Generator<BytePath> {
  for (let begin = 0; begin < text.length;) {
    const newline = text.indexOf('\n', begin);
    const end = newline < 0 ? text.length : newline;
    const line = text.slice(begin, end).trimStart();
    // C's strings end at a NUL, so nobody agrees on what such a line says.
    if (line !== '' && !line.startsWith('#') && !line.includes('\0')) yield line;
    begin = end + 1;
  }
}

/** Lines that begin with a sign stand for what a network's directory has (nsswitch.conf(5): compat). */
function isName(name: BytePath): boolean {
  return name !== '' && !name.startsWith('+') && !name.startsWith('-');
}
