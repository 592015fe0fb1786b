import type { OmittedDevice } from '../../src/unpack/index.js';
import { archive, device, directory, fifo, file, hardLink, symlink } from './tar-builder.js';

/** cap_net_raw+ep, as the kernel keeps it. */
const CAPABILITY = Buffer.from('0100000200200000000000000000000000000000', 'hex');

/** An image that has whatever privileges matter to. */
export const LAYERS: readonly Buffer[] = [
  archive(
    directory('etc'),
    file('etc/passwd', 'root'),
    file('etc/shadow', 'secret', { gid: 42, mode: 0o640 }),
    directory('home'),
    directory('home/user', { uid: 1000, gid: 1000, mode: 0o700 }),
    file('home/user/file', 'mine', { uid: 1000, gid: 1000 }),
    directory('bin'),
    file('bin/su', 'su', { mode: 0o4755 }),
    file('bin/ping', 'ping', { mode: 0o755, xattrs: { 'security.capability': CAPABILITY } }),
    directory('dev'),
    device('c', 'dev/null', 1, 3, { mode: 0o666 }),
    device('b', 'dev/sda', 8, 0, { gid: 6, mode: 0o660 }),
    fifo('dev/pipe', { uid: 1000 }),
    directory('srv', { mode: 0o555 }),
    file('srv/none', 'nobody reads this', { mode: 0 }),
    file('srv/first', 'linked', { xattrs: { 'user.origin': 'harbour' } }),
    hardLink('srv/second', 'srv/first'),
    symlink('srv/link', '/etc/passwd'),
    directory('gone'),
    file('gone/file', 'gone'),
    directory('emptied'),
    file('emptied/before', 'before'),
  ),
  archive(
    file('.wh.gone'),
    file('emptied/.wh..wh..opq'),
    file('emptied/after', 'after'),
    file('srv/.wh.link'),
    file('dev/.wh.sda'),
    file('home/user/later', 'later', { uid: 1000, gid: 1000 }),
  ),
];

/** What the layers leave, with owners as the image names them; device nodes stand apart. */
export const TREE: readonly string[] = [
  'bin d 755 0:0',
  'bin/ping f 755 0:0 4 ',
  'bin/su f 4755 0:0 2 ',
  'dev d 755 0:0',
  'dev/pipe p 644 1000:0 0 ',
  'emptied d 755 0:0',
  'emptied/after f 644 0:0 5 ',
  'etc d 755 0:0',
  'etc/passwd f 644 0:0 4 ',
  'etc/shadow f 640 0:42 6 ',
  'home d 755 0:0',
  'home/user d 700 1000:1000',
  'home/user/file f 644 1000:1000 4 ',
  'home/user/later f 644 1000:1000 5 ',
  'srv d 555 0:0',
  'srv/first f 644 0:0 6 ',
  'srv/none f 0 0:0 17 ',
  'srv/second f 644 0:0 6 ',
];

/** What else they leave, for who may make it. */
export const DEVICES: readonly OmittedDevice[] = [
  { path: 'dev/null', type: 'character', major: 1, minor: 3 },
  { path: 'dev/sda', type: 'block', major: 8, minor: 0 },
];

/** A function of the shell that lists a directory in the form of {@link TREE}. */
export const LIST: string = String.raw`list() {
  (cd "$1" && find . -mindepth 1 '(' -type d -printf '%P %y %m %U:%G\n' ')' -o -printf '%P %y %m %U:%G %s %l\n') | LC_ALL=C sort
}`;

/** {@link TREE} with other owners; those that are not named become `otherwise`. */
export function owned(owners: Readonly<Record<number, number>>, otherwise?: number): string[] {
  const mapped = (id: string | undefined): number => owners[Number(id)] ?? otherwise ?? Number(id);
  return TREE.map((line) =>
    line.replace(/ (\d+):(\d+)(?= |$)/, (_, uid: string, gid: string) => ` ${mapped(uid)}:${mapped(gid)}`),
  );
}
