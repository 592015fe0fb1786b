/*
 * A container as a runtime is told to run it: what landfall writes of runtime-spec's config.md and config-linux.md. The
 * keys are the specification's own.
 */

export interface RuntimeConfig {
  readonly ociVersion: string;
  readonly process: RuntimeProcess;
  readonly root: RuntimeRoot;
  readonly hostname: string;
  readonly mounts: readonly RuntimeMount[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly linux: RuntimeLinux;
}

export interface RuntimeProcess {
  readonly terminal: boolean;
  readonly user: RuntimeUser;
  /** At least one. */
  readonly args: readonly string[];
  /** `NAME=VALUE` */
  readonly env: readonly string[];
  /** Absolute, inside the container. */
  readonly cwd: string;
  readonly capabilities: RuntimeCapabilities;
  readonly rlimits: readonly RuntimeLimit[];
  readonly noNewPrivileges: boolean;
}

/** IDs as the container sees them. */
export interface RuntimeUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids?: readonly number[];
}

export interface RuntimeCapabilities {
  readonly bounding: readonly string[];
  readonly effective: readonly string[];
  readonly permitted: readonly string[];
}

export interface RuntimeLimit {
  readonly type: string;
  readonly hard: number;
  readonly soft: number;
}

export interface RuntimeRoot {
  /** Relative to the bundle. */
  readonly path: string;
  readonly readonly: boolean;
}

export interface RuntimeMount {
  /** Absolute, inside the container. */
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options?: readonly string[];
}

export interface RuntimeLinux {
  readonly uidMappings?: readonly RuntimeIdMapping[];
  readonly gidMappings?: readonly RuntimeIdMapping[];
  readonly namespaces: readonly RuntimeNamespace[];
  /** Absent where the caller may not make control groups. */
  readonly resources?: RuntimeResources;
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
}

export interface RuntimeIdMapping {
  readonly containerID: number;
  readonly hostID: number;
  readonly size: number;
}

export type RuntimeNamespaceType = 'pid' | 'network' | 'ipc' | 'uts' | 'mount' | 'cgroup' | 'user';

export interface RuntimeNamespace {
  readonly type: RuntimeNamespaceType;
}

export interface RuntimeResources {
  readonly devices: readonly { readonly allow: boolean; readonly access: string }[];
}
