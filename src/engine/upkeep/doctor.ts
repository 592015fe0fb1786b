import { userInfo } from 'node:os';
import { probeSqlite } from '../../metadata/index.js';
import { probeSystem, type SystemCapabilities } from '../../system/index.js';
import { probeInflate, probeZstd } from '../../unpack/index.js';

/** One thing that landfall likes to have. */
export interface DiagnosedCapability {
  readonly name: string;
  readonly available: boolean;
  /** How it was found, or why not. */
  readonly detail: string;
  /** What landfall does where it is missing. */
  readonly without: string;
  /** What a person can do to have it, where that is known. */
  readonly hint?: string;
}

export interface Diagnosis {
  /** Node's version. */
  readonly node: string;
  /** `linux/x64`, as Node names them. */
  readonly platform: string;
  readonly user: string;
  readonly root: string;
  readonly capabilities: readonly DiagnosedCapability[];
  /** What may still be written below the root, in bytes. */
  readonly freeBytes: number;
}

type Name = Exclude<keyof SystemCapabilities, 'freeSpace'>;

/** In the order of their weight, each with what is done without it. */
const CAPABILITIES: readonly (readonly [Name, string, string])[] = [
  ['libc', 'native calls', 'nothing can be unpacked or mounted; images can be pulled with --no-unpack'],
  ['openat2', 'openat2', 'each component of a path is checked by itself, which is slower and as safe'],
  ['overlay', 'overlay mounts', 'images cannot be mounted; `landfall unpack` writes plain files'],
  [
    'newMountApi',
    'new mount API',
    'images of very many layers cannot be mounted, since their paths must fit one page',
  ],
  ['userNamespaces', 'user namespaces', 'an unprivileged user cannot mount images'],
  [
    'idMappedMounts',
    'id-mapped mounts',
    'containerd has to copy an image for containers of a user namespace',
  ],
  ['mknod', 'device nodes', 'devices of an image are left out, with a warning'],
  ['whiteouts', 'overlay whiteouts', 'layers that delete files cannot become overlay snapshots'],
  ['trustedXattr', 'trusted xattrs', 'the user.overlay form of opaque directories is used where it can be'],
  ['userXattr', 'user xattrs', 'user.* attributes of files are left out, with a warning'],
  ['securityCapability', 'file capabilities', 'file capabilities are left out, with a warning'],
  ['reflink', 'reflinks', 'copies take their full size on the disk'],
  ['flock', 'file locks', 'processes cannot share the store safely; use it from one at a time'],
  ['syncfs', 'syncfs', 'the whole machine is synced where one file system would do'],
];

/** Finds out what this machine can do, at the place where the store lies or would lie. Never throws. */
export async function diagnose(root: string): Promise<Diagnosis> {
  const system = await probeSystem(root);
  const inflate = probeInflate();
  const zstd = await probeZstd();
  return {
    node: process.version,
    platform: `${process.platform}/${process.arch}`,
    user: userName(),
    root,
    capabilities: [
      { name: 'SQLite', ...(await probeSqlite()), without: 'there is no store; registries can be used' },
      ...CAPABILITIES.map(([key, name, without]) => ({ name, ...system[key], without })),
      {
        name: 'native zlib',
        ...inflate.zlib,
        without: "gzip layers are inflated by Node's stream, which takes a seventh more of the CPU",
      },
      {
        name: 'ISA-L',
        ...inflate['isa-l'],
        without: "gzip layers are inflated by Node's zlib, which takes about 1.6 times as long",
      },
      { name: 'zstd', ...zstd, without: 'zstd layers cannot be unpacked; gzip and plain ones can' },
    ],
    freeBytes: system.freeSpace.bytes,
  };
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? '');
  }
}
