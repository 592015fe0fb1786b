import type * as Koffi from 'koffi';
import { ffi } from './ffi.js';

/** socket(2), on Linux. */
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
/** `sockaddr_un`: the family, then the path (unix(7)). */
const FAMILY_BYTES = 2;
const PATH_BYTES = 108;

interface SocketFunctions {
  readonly socket: Koffi.KoffiFunc<(domain: number, type: number, protocol: number) => number>;
  readonly sendto: Koffi.KoffiFunc<
    (
      fd: number,
      message: Buffer,
      length: number,
      flags: number,
      address: Buffer,
      addressLength: number,
    ) => number
  >;
  readonly close: Koffi.KoffiFunc<(fd: number) => number>;
}

let functions: SocketFunctions | undefined;

/**
 * Tells systemd how a service does (sd_notify(3)): `READY=1`, `STOPPING=1`, `STATUS=…`. Node has no datagram sockets of this
 * kind.
 *
 * @param socket `NOTIFY_SOCKET` of the environment, a path or a name that begins with `@`; undefined: nobody wants to know
 * @returns whether it was sent
 */
export function notifySystemd(state: string, socket: string | undefined): boolean {
  if (socket === undefined || !/^[/@]/.test(socket)) return false;
  const path = Buffer.from(socket.replace(/^@/, '\0'));
  if (path.length >= PATH_BYTES) return false;
  try {
    const address = Buffer.alloc(FAMILY_BYTES + path.length);
    address.writeUInt16LE(AF_UNIX);
    path.copy(address, FAMILY_BYTES);
    return send(Buffer.from(state), address);
  } catch {
    // Where there is no FFI there is no systemd to tell either.
    return false;
  }
}

function send(message: Buffer, address: Buffer): boolean {
  const { socket, sendto, close } = (functions ??= bind());
  const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  try {
    return sendto(fd, message, message.length, 0, address, address.length) === message.length;
  } finally {
    close(fd);
  }
}

function bind(): SocketFunctions {
  const libc = ffi().load(null);
  return {
    socket: libc.func('int socket(int domain, int type, int protocol)'),
    sendto: libc.func(
      'ssize_t sendto(int fd, void *message, size_t length, int flags, void *address, uint32_t size)',
    ),
    close: libc.func('int close(int fd)'),
  };
}
