import { LandfallError, SpecError } from '../../errors.js';
import { type ContainerConfig, type ImageConfig, quoted } from '../../spec/index.js';
import {
  ARGS,
  HOSTNAME,
  KERNEL_MOUNTS,
  LIMITS_OF_PROCESS,
  MASKED_PATHS,
  NAMESPACES,
  OCI_VERSION,
  PATH,
  PROCESS_CAPABILITIES,
  READONLY_PATHS,
  RESOURCES,
  ROOTLESS_SYS_MOUNTS,
  SYS_MOUNTS,
  TERM,
  TTY_GID,
} from './customary.js';
import {
  hasId,
  type IdMappings,
  type RuntimeConfig,
  type RuntimeLinux,
  type RuntimeMount,
  type RuntimeNamespaceType,
  type RuntimeProcess,
  type RuntimeUser,
  toRuntimeMappings,
} from './runtime-config.js';
import type { ProcessUser } from './process-user.js';

export interface ConvertOptions {
  /** Whom `Config.User` names. */
  readonly user: ProcessUser;
  /** The root file system's directory, relative to the bundle. */
  readonly root: string;
  /** Whether the process gets a terminal of its own. */
  readonly terminal: boolean;
  /** For who is not root: without control groups and network of its own. */
  readonly rootless: boolean;
  /** Of a user namespace; undefined for a container without one. */
  readonly mappings: IdMappings | undefined;
}

/**
 * Makes a runtime configuration of an image config that {@link requireConvertible} let pass: what
 * image-spec's conversion.md says of each field, and what customary.ts has for the rest.
 */
export function convertConfig(config: ImageConfig, o: ConvertOptions): RuntimeConfig {
  const container = config.config ?? {};
  return {
    ociVersion: OCI_VERSION,
    process: processOf(container, o),
    root: { path: o.root, readonly: false },
    hostname: HOSTNAME,
    mounts: [...kernelMounts(o), ...volumeMounts(container, o)],
    annotations: annotationsOf(config),
    linux: linuxOf(o),
  };
}

/**
 * Refuses what no runtime can run on Linux, before anything is unpacked for it.
 *
 * @throws {LandfallError} UNSUPPORTED for an image of another operating system
 * @throws {SpecError} INVALID_MANIFEST for a working directory or a volume that is not absolute, or a NUL in
 *   what goes to the kernel as a C string
 */
export function requireConvertible({ os, config = {} }: ImageConfig): void {
  if (os !== '' && os !== 'linux') {
    throw new LandfallError('UNSUPPORTED', `the image is for ${quoted(os)}, and bundles are for Linux`, {
      hint: 'Choose a Linux platform that the image has with --platform.',
    });
  }
  const { WorkingDir = '', Volumes = {}, Env = [], Entrypoint = [], Cmd = [] } = config;
  if (WorkingDir !== '' && !WorkingDir.startsWith('/')) {
    throw invalid('WorkingDir', WorkingDir, 'must be an absolute path');
  }
  for (const volume of Object.keys(Volumes)) {
    if (!volume.startsWith('/')) throw invalid('Volumes', volume, 'must be absolute paths');
  }
  const texts = { WorkingDir: [WorkingDir], Volumes: Object.keys(Volumes), Env, Entrypoint, Cmd };
  for (const [field, values] of Object.entries(texts)) {
    const odd = values.find((value) => value.includes('\0'));
    if (odd !== undefined) throw invalid(field, odd, 'must not hold a NUL');
  }
}

function invalid(field: string, value: string, fault: string): SpecError {
  return new SpecError('INVALID_MANIFEST', `config.${field} ${fault}: ${quoted(value)}`, {
    hint: 'Ask the publisher for a new build; `landfall unpack` gives the root file system alone.',
    details: { field: `config.${field}` },
  });
}

function processOf(container: ContainerConfig, o: ConvertOptions): RuntimeProcess {
  const args = [...(container.Entrypoint ?? []), ...(container.Cmd ?? [])];
  return {
    terminal: o.terminal,
    user: runtimeUser(o),
    args: args.length === 0 ? ARGS : args,
    env: environment(container.Env ?? [], o),
    cwd: container.WorkingDir === undefined || container.WorkingDir === '' ? '/' : container.WorkingDir,
    capabilities: PROCESS_CAPABILITIES,
    rlimits: LIMITS_OF_PROCESS,
    noNewPrivileges: true,
  };
}

/** Who maps nobody but itself may not choose additional groups either (user_namespaces(7)). */
function runtimeUser({ user: { uid, gid, additionalGids }, rootless }: ConvertOptions): RuntimeUser {
  return rootless || additionalGids.length === 0 ? { uid, gid } : { uid, gid, additionalGids };
}

/** The image's own variables stay as they are; what it does not name is added after them. */
function environment(own: readonly string[], { user: { home }, terminal }: ConvertOptions): string[] {
  const names = new Set(own.map((variable) => variable.split('=', 1)[0]));
  const added = { PATH, HOME: home, TERM: terminal ? TERM : undefined };
  return [
    ...own,
    ...Object.entries(added).flatMap(([name, value]) =>
      value === undefined || names.has(name) ? [] : [`${name}=${value}`],
    ),
  ];
}

function kernelMounts({ rootless, mappings }: ConvertOptions): RuntimeMount[] {
  const hasTty = mappings === undefined || hasId(mappings.gid, TTY_GID);
  const mounts = [...KERNEL_MOUNTS, ...(rootless ? ROOTLESS_SYS_MOUNTS : SYS_MOUNTS)];
  if (hasTty) return mounts;
  // A group that the user namespace does not have makes the mount fail.
  const tty = `gid=${TTY_GID}`;
  return mounts.map(({ options = [], ...mount }) => ({
    ...mount,
    options: options.filter((option) => option !== tty),
  }));
}

/**
 * An empty file system for each volume, which goes with the container. It belongs to who the container runs
 * as, who could not write to it otherwise.
 */
function volumeMounts({ Volumes = {} }: ContainerConfig, { user, mappings }: ConvertOptions): RuntimeMount[] {
  const { uid, gid } = user;
  const owned = mappings === undefined || (hasId(mappings.uid, uid) && hasId(mappings.gid, gid));
  const owner = owned && (uid !== 0 || gid !== 0) ? [`uid=${uid}`, `gid=${gid}`] : [];
  // Sorted, so that a volume inside another one is not hidden by it.
  return Object.keys(Volumes)
    .sort()
    .map((destination) => ({
      destination,
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['rw', 'nosuid', 'nodev', 'relatime', 'mode=0755', ...owner],
    }));
}

/**
 * conversion.md: Annotation Fields. Labels win over what follows from other fields, which are left out where
 * empty.
 */
function annotationsOf(config: ImageConfig): Record<string, string> {
  const { StopSignal, ExposedPorts = {}, Labels = {} } = config.config ?? {};
  const implicit = {
    os: config.os,
    architecture: config.architecture,
    variant: config.variant,
    'os.version': config['os.version'],
    'os.features': config['os.features']?.join(','),
    author: config.author,
    created: config.created,
    stopSignal: StopSignal,
    exposedPorts: Object.keys(ExposedPorts).sort().join(','),
  };
  const named = Object.entries(implicit).flatMap(([name, value]): [string, string][] =>
    value === undefined || value === '' ? [] : [[`org.opencontainers.image.${name}`, value]],
  );
  return Object.fromEntries([...named, ...Object.entries(Labels)]);
}

function linuxOf({ rootless, mappings }: ConvertOptions): RuntimeLinux {
  const namespaces: RuntimeNamespaceType[] = NAMESPACES.filter((type) => !rootless || type !== 'network');
  if (mappings !== undefined) namespaces.push('user');
  return {
    ...(mappings === undefined
      ? {}
      : {
          uidMappings: toRuntimeMappings(mappings.uid),
          gidMappings: toRuntimeMappings(mappings.gid),
        }),
    namespaces: namespaces.map((type) => ({ type })),
    ...(rootless ? {} : { resources: RESOURCES }),
    maskedPaths: MASKED_PATHS,
    readonlyPaths: READONLY_PATHS,
  };
}
