import type { BytePath } from '../../system/index.js';

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

/** The accounts of `/etc/passwd` (passwd(5)), in its order. What glibc would not take for one is passed over. */
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
export function parseId(text: string): number | undefined {
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
