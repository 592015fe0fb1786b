import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ContainerConfig } from '../../src/spec/index.js';
import { peer } from './peers.js';
import { makeTinyLayout, type TinyEntry } from './tiny-image.js';

/** What containers of the image are looked at with. */
const APPLETS = ['sh', 'cat', 'chown', 'cut', 'grep', 'hostname', 'id', 'ls', 'pwd', 'stat', 'touch', 'tty'];

const PASSWD = 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n';
const GROUP = 'root:x:0:\naudio:x:29:app\nstaff:x:50:app,root\napp:x:1000:\n';

/** Writes an OCI layout whose image is a shell and a few tools, and some users. Takes the peer `busybox`. */
export async function makeBusyboxLayout(directory: string, config: ContainerConfig): Promise<void> {
  const layer: TinyEntry[] = [
    { path: 'bin/busybox', content: readFileSync(peer('busybox') ?? 'busybox'), mode: 0o755 },
    ...APPLETS.map((name) => ({ path: join('bin', name), link: 'busybox' })),
    { path: 'etc/' },
    { path: 'etc/passwd', content: PASSWD },
    { path: 'etc/group', content: GROUP },
    { path: 'srv/', mode: 0o755 },
    { path: 'srv/file', content: 'of the image' },
  ];
  await makeTinyLayout(directory, { layers: [layer], config });
}
