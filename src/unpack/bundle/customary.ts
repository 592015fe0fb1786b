import type {
  RuntimeCapabilities,
  RuntimeLimit,
  RuntimeMount,
  RuntimeNamespaceType,
  RuntimeResources,
} from './runtime-config.js';

/*
 * What image-spec leaves to whoever makes a runtime configuration, as `runc spec`, umoci and containerd have it, which
 * agree on nearly all.
 */

/** The oldest version that has all that is written here, so that every runtime takes it. */
export const OCI_VERSION = '1.0.2';

export const HOSTNAME = 'landfall';

/** Where an image without Entrypoint and Cmd leads: a shell, as with `runc spec` and umoci. */
export const ARGS: readonly string[] = ['sh'];

export const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
export const TERM = 'xterm';

export const LIMITS_OF_PROCESS: readonly RuntimeLimit[] = [{ type: 'RLIMIT_NOFILE', hard: 1024, soft: 1024 }];

/**
 * Docker's and containerd's. The three of `runc spec` are too few for most images: their root could not even
 * chown.
 */
const CAPABILITIES: readonly string[] = [
  'CAP_AUDIT_WRITE',
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_MKNOD',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_RAW',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
];

/** Neither inheritable nor ambient, so that only root and files with capabilities of their own have them. */
export const PROCESS_CAPABILITIES: RuntimeCapabilities = {
  bounding: CAPABILITIES,
  effective: CAPABILITIES,
  permitted: CAPABILITIES,
};

export const NAMESPACES: readonly RuntimeNamespaceType[] = [
  'pid',
  'network',
  'ipc',
  'uts',
  'mount',
  'cgroup',
];

/**
 * No device but those that every runtime allows: null, zero, full, random, urandom, tty, console and ptmx.
 */
export const RESOURCES: RuntimeResources = { devices: [{ allow: false, access: 'rwm' }] };

/** The group `tty` wherever there is one. */
export const TTY_GID = 5;

/** All but what lies below /sys, which depends on who runs the container. */
export const KERNEL_MOUNTS: readonly RuntimeMount[] = [
  { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
  {
    destination: '/dev',
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
  },
  {
    destination: '/dev/pts',
    type: 'devpts',
    source: 'devpts',
    options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', `gid=${TTY_GID}`],
  },
  {
    destination: '/dev/shm',
    type: 'tmpfs',
    source: 'shm',
    options: ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k'],
  },
  {
    destination: '/dev/mqueue',
    type: 'mqueue',
    source: 'mqueue',
    options: ['nosuid', 'noexec', 'nodev'],
  },
];

export const SYS_MOUNTS: readonly RuntimeMount[] = [
  { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', 'ro'] },
  {
    destination: '/sys/fs/cgroup',
    type: 'cgroup',
    source: 'cgroup',
    options: ['nosuid', 'noexec', 'nodev', 'relatime', 'ro'],
  },
];

/** A new sysfs takes a network namespace of one's own; the machine's brings its control groups along. */
export const ROOTLESS_SYS_MOUNTS: readonly RuntimeMount[] = [
  {
    destination: '/sys',
    type: 'none',
    source: '/sys',
    options: ['rbind', 'nosuid', 'noexec', 'nodev', 'ro'],
  },
];

export const MASKED_PATHS: readonly string[] = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
];

export const READONLY_PATHS: readonly string[] = [
  '/proc/bus',
  '/proc/fs',
  '/proc/irq',
  '/proc/sys',
  '/proc/sysrq-trigger',
];
