import koffi from 'koffi';
import { isRoot } from './needs-root.js';

const PR_SET_SECCOMP = 22;
const PR_SET_NO_NEW_PRIVS = 38;
const SECCOMP_MODE_FILTER = 2;
/** The number of openat2 is the same on every architecture. */
const OPENAT2 = 437;
const UNSHARE = process.arch === 'arm64' ? 97 : 272;
const EPERM = 1;
const ENOSYS = 38;

/**
 * Takes openat2 from this thread, and from all threads and processes that it starts from now on, as a kernel
 * has it that does not know the call. There is no way back.
 */
export function forgetOpenat2(): void {
  refuse(OPENAT2, ENOSYS);
}

/** As {@link forgetOpenat2}, of unshare: as the usual filters of containers have it. */
export function forbidUnshare(): void {
  refuse(UNSHARE, EPERM);
}

function refuse(call: number, errno: number): void {
  // linux/filter.h and linux/seccomp.h: load the number of the call; is it this one, answer the errno, else
  // let it pass.
  const instructions: readonly (readonly [code: number, jt: number, jf: number, k: number])[] = [
    [0x20, 0, 0, 0],
    [0x15, 0, 1, call],
    [0x06, 0, 0, 0x0005_0000 | errno],
    [0x06, 0, 0, 0x7fff_0000],
  ];
  const libc = koffi.load('libc.so.6');
  const program = koffi.struct({ len: 'uint16', filter: 'uint8 *' });
  const setFlag = libc.func(
    'int prctl(int option, unsigned long, unsigned long, unsigned long, unsigned long)',
  );
  const setFilter = libc.func('prctl', 'int', ['int', 'unsigned long', koffi.pointer(program)]);
  // Root needs it not, and its children would then gain nothing in a user namespace.
  if (!isRoot && setFlag(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) !== 0)
    throw new Error('no_new_privs cannot be set');
  const filter = Buffer.concat(
    instructions.map(([code, jt, jf, k]) => {
      const instruction = Buffer.alloc(8);
      instruction.writeUInt16LE(code, 0);
      instruction.writeUInt8(jt, 2);
      instruction.writeUInt8(jf, 3);
      instruction.writeUInt32LE(k, 4);
      return instruction;
    }),
  );
  if (setFilter(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, { len: instructions.length, filter }) !== 0) {
    throw new Error('no seccomp filter can be set');
  }
}
