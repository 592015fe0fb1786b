import type { IdRange } from '../terms/ownership.js';

/*
 * A container as a runtime is told to run it: what landfall writes of runtime-spec's config.md and config-linux.md. The
 * keys are the specification's own.
 */

/** `config.json` of a bundle (runtime-spec: config.md). */
export interface RuntimeConfig {
  /** Of the specification. */
  readonly ociVersion: string;
  /** What is run. */
  readonly process: RuntimeProcess;
  /** Its root file system. */
  readonly root: RuntimeRoot;
  /** Of the container. */
  readonly hostname: string;
  /** In the order in which they are made. */
  readonly mounts: readonly RuntimeMount[];
  /** Free text, from the image. */
  readonly annotations: Readonly<Record<string, string>>;
  /** What only Linux has. */
  readonly linux: RuntimeLinux;
}

/** What runs in the container. */
export interface RuntimeProcess {
  /** Whether it gets a terminal. */
  readonly terminal: boolean;
  /** As whom it runs. */
  readonly user: RuntimeUser;
  /** At least one. */
  readonly args: readonly string[];
  /** `NAME=VALUE` */
  readonly env: readonly string[];
  /** Absolute, inside the container. */
  readonly cwd: string;
  /** What it may do. */
  readonly capabilities: RuntimeCapabilities;
  /** Bounds on what it uses. */
  readonly rlimits: readonly RuntimeLimit[];
  /** Whether it can gain none (prctl(2)). */
  readonly noNewPrivileges: boolean;
}

/** IDs as the container sees them. */
export interface RuntimeUser {
  /** Of the user. */
  readonly uid: number;
  /** Of the group. */
  readonly gid: number;
  /** Of further groups. */
  readonly additionalGids?: readonly number[];
}

/** Names of capabilities(7). */
export interface RuntimeCapabilities {
  /** What it can ever have. */
  readonly bounding: readonly string[];
  /** What it has. */
  readonly effective: readonly string[];
  /** What it may take. */
  readonly permitted: readonly string[];
}

/** A bound of setrlimit(2). */
export interface RuntimeLimit {
  /** `RLIMIT_NOFILE` */
  readonly type: string;
  /** In units of the type. */
  readonly hard: number;
  /** In units of the type. */
  readonly soft: number;
}

/** The root file system. */
export interface RuntimeRoot {
  /** Relative to the bundle. */
  readonly path: string;
  /** Whether it cannot be written. */
  readonly readonly: boolean;
}

/** A mount inside the container. */
export interface RuntimeMount {
  /** Absolute, inside the container. */
  readonly destination: string;
  /** Of the file system. */
  readonly type: string;
  /** What is mounted. */
  readonly source: string;
  /** As mount(8) takes them. */
  readonly options?: readonly string[];
}

/** What only Linux has (runtime-spec: config-linux.md). */
export interface RuntimeLinux {
  /** Of its user namespace, where it has one. */
  readonly uidMappings?: readonly RuntimeIdMapping[];
  /** The same for groups. */
  readonly gidMappings?: readonly RuntimeIdMapping[];
  /** Of its own. */
  readonly namespaces: readonly RuntimeNamespace[];
  /** Absent where the caller may not make control groups. */
  readonly resources?: RuntimeResources;
  /** That cannot be read. */
  readonly maskedPaths: readonly string[];
  /** That cannot be written. */
  readonly readonlyPaths: readonly string[];
}

/** IDs inside, and what they are outside. */
export interface RuntimeIdMapping {
  /** The first one inside. */
  readonly containerID: number;
  /** What that is outside. */
  readonly hostID: number;
  /** How many. */
  readonly size: number;
}

/** A kind of namespaces(7). */
export type RuntimeNamespaceType = 'pid' | 'network' | 'ipc' | 'uts' | 'mount' | 'cgroup' | 'user';

/** A namespace that the container has for itself. */
export interface RuntimeNamespace {
  /** Of which kind. */
  readonly type: RuntimeNamespaceType;
}

/** What its control group allows. */
export interface RuntimeResources {
  /** Rules for device nodes. */
  readonly devices: readonly {
    /** Whether the rule allows or forbids. */
    readonly allow: boolean;
    /** `r`, `w`, `m`: reading, writing, making. */
    readonly access: string;
  }[];
}

/** The IDs of a container's user namespace; neither list is empty. */
export interface IdMappings {
  /** Of users. */
  readonly uid: readonly IdRange[];
  /** Of groups. */
  readonly gid: readonly IdRange[];
}

/** The one user and the one group that anybody may map, to root: whoever runs this. */
export function callersMappings(): IdMappings {
  const [uid, gid] = [process.geteuid?.() ?? 0, process.getegid?.() ?? 0];
  return { uid: [{ container: 0, host: uid, size: 1 }], gid: [{ container: 0, host: gid, size: 1 }] };
}

/** Whether an id is in one of the ranges. */
export function hasId(ranges: readonly IdRange[], id: number): boolean {
  return ranges.some(({ container, size }) => id >= container && id < container + size);
}

/** What of a container's user its user namespace has no IDs for, in words; no runtime can start it so. */
export function unmappedIds(
  { uid, gid, additionalGids = [] }: RuntimeUser,
  { uid: users, gid: groups }: IdMappings,
): string[] {
  return [
    ...(hasId(users, uid) ? [] : [`user ${uid}`]),
    ...[...new Set([gid, ...additionalGids])].filter((id) => !hasId(groups, id)).map((id) => `group ${id}`),
  ];
}

/** The ranges in the words of the runtime specification (runtime-spec: User namespace mappings). */
export function toRuntimeMappings(ranges: readonly IdRange[]): RuntimeIdMapping[] {
  return ranges.map(({ container, host, size }) => ({ containerID: container, hostID: host, size }));
}
