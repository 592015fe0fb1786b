import { libc } from './libc.js';

/** socket(2), on Linux. */
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
/** `sockaddr_un`: the family, then the path (unix(7)). */
const FAMILY_BYTES = 2;
const PATH_BYTES = 108;

/**
 * Tells systemd how a service does (sd_notify(3)): `READY=1`, `STOPPING=1`, `STATUS=…`. Node has no datagram
 * sockets of this kind.
 *
 * @param socket `NOTIFY_SOCKET` of the environment, a path or a name that begins with `@`; undefined: nobody
 *   wants to know
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
    // Where the C library cannot be called there is no systemd to tell either.
    return false;
  }
}

function send(message: Buffer, address: Buffer): boolean {
  const fd = libc().socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  try {
    const sent = libc().sendto(fd, message, message.length, 0, address, address.length);
    return sent === message.length;
  } finally {
    libc().close(fd);
  }
}
