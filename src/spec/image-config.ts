import type { Digest } from './digest.js';
import {
  invalidField,
  type JsonObject,
  optionalBoolean,
  optionalList,
  optionalObject,
  optionalSet,
  optionalString,
  optionalStringMap,
  optionalStrings,
  parseJson,
  readDigest,
  readObject,
  refuseAmbiguousCase,
  requiredString,
  withFields,
} from './json-fields.js';
import { LIMITS } from './limits.js';
import { normalizePlatform, type Platform } from './platform.js';

/** How to run the image. The keys are the specification's own. */
export interface ContainerConfig {
  /** `USER[:GROUP]`, by name or number. Default: root. */
  readonly User?: string;
  /** Keys like `80/tcp`. */
  readonly ExposedPorts?: Readonly<Record<string, object>>;
  /** `NAME=VALUE` */
  readonly Env?: readonly string[];
  /** What is run. */
  readonly Entrypoint?: readonly string[];
  /** Its arguments by default, or what is run where there is no entrypoint. */
  readonly Cmd?: readonly string[];
  /** Keys are paths. */
  readonly Volumes?: Readonly<Record<string, object>>;
  /** Where it starts. Default `/`. */
  readonly WorkingDir?: string;
  /** What the image's author attached to it. */
  readonly Labels?: Readonly<Record<string, string>>;
  /** What ends it, such as `SIGTERM`. */
  readonly StopSignal?: string;
  /** Of Windows images: whether the arguments are escaped already. */
  readonly ArgsEscaped?: boolean;
}

/** The layers, by the digests of their tars. */
export interface RootFs {
  /** Always this. */
  readonly type: 'layers';
  /** Of the uncompressed tars, bottom first. */
  readonly diff_ids: readonly Digest[];
}

/** What one step of the build did. */
export interface HistoryEntry {
  /** RFC 3339. */
  readonly created?: string;
  /** Who made it. */
  readonly author?: string;
  /** The command. */
  readonly created_by?: string;
  /** Free text. */
  readonly comment?: string;
  /** The step made no layer. */
  readonly empty_layer?: boolean;
}

/**
 * An image's config (image-spec: config.md), also of Docker. `os` and `architecture` are empty where it
 * leaves them out.
 */
export interface ImageConfig {
  /** `linux` */
  readonly os: string;
  /** `amd64` */
  readonly architecture: string;
  /** The level of the processor: `v7`. */
  readonly variant?: string;
  /** Of Windows: `10.0.17763.1817` */
  readonly 'os.version'?: string;
  /** That it must have. */
  readonly 'os.features'?: readonly string[];
  /** How to run it. */
  readonly config?: ContainerConfig;
  /** Its layers. */
  readonly rootfs: RootFs;
  /** How it was built, oldest step first. */
  readonly history?: readonly HistoryEntry[];
  /** RFC 3339, as the builder wrote it. */
  readonly created?: string;
  /** Who made it. */
  readonly author?: string;
}

const KEYS = ['os', 'architecture', 'variant', 'config', 'rootfs', 'history', 'created', 'author'] as const;

/**
 * Parses the bytes of an image config. Unknown fields stay on the objects, Docker's `Healthcheck` and
 * `OnBuild` among them.
 *
 * @throws {SpecError} INVALID_MANIFEST, INVALID_DIGEST, LIMIT_EXCEEDED
 */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  const raw = readObject(parseJson(bytes, 'image config', LIMITS.configBytes), '');
  refuseAmbiguousCase(raw, KEYS, '');
  const config = optionalObject(raw, 'config', '');
  return withFields<ImageConfig>(raw, {
    os: optionalString(raw, 'os', '') ?? '',
    architecture: optionalString(raw, 'architecture', '') ?? '',
    variant: optionalString(raw, 'variant', ''),
    'os.version': optionalString(raw, 'os.version', ''),
    'os.features': optionalStrings(raw, 'os.features', ''),
    config: config === undefined ? undefined : readContainerConfig(config, 'config'),
    rootfs: readRootFs(raw['rootfs'], 'rootfs'),
    history: optionalList(raw, 'history', '', LIMITS.listItems, readHistoryEntry),
    created: optionalString(raw, 'created', ''),
    author: optionalString(raw, 'author', ''),
  });
}

function readContainerConfig(raw: JsonObject, where: string): ContainerConfig {
  return withFields<ContainerConfig>(raw, {
    User: optionalString(raw, 'User', where),
    ExposedPorts: optionalSet(raw, 'ExposedPorts', where),
    Env: optionalStrings(raw, 'Env', where),
    Entrypoint: optionalStrings(raw, 'Entrypoint', where),
    Cmd: optionalStrings(raw, 'Cmd', where),
    Volumes: optionalSet(raw, 'Volumes', where),
    WorkingDir: optionalString(raw, 'WorkingDir', where),
    Labels: optionalStringMap(raw, 'Labels', where),
    StopSignal: optionalString(raw, 'StopSignal', where),
    ArgsEscaped: optionalBoolean(raw, 'ArgsEscaped', where),
  });
}

function readRootFs(value: unknown, where: string): RootFs {
  const raw = readObject(value, where);
  refuseAmbiguousCase(raw, ['type', 'diff_ids'], where);
  if (requiredString(raw, 'type', where) !== 'layers') throw invalidField('rootfs.type', 'must be "layers"');
  return withFields<RootFs>(raw, {
    type: 'layers',
    diff_ids: optionalList(raw, 'diff_ids', where, LIMITS.manifestLayers, readDigest) ?? [],
  });
}

function readHistoryEntry(value: unknown, where: string): HistoryEntry {
  const raw = readObject(value, where);
  return withFields<HistoryEntry>(raw, {
    created: optionalString(raw, 'created', where),
    author: optionalString(raw, 'author', where),
    created_by: optionalString(raw, 'created_by', where),
    comment: optionalString(raw, 'comment', where),
    empty_layer: optionalBoolean(raw, 'empty_layer', where),
  });
}

/** The platform that a config says it is for, normalised. */
export function platformOf(config: ImageConfig): Platform {
  const { os, architecture, variant, 'os.version': version, 'os.features': features } = config;
  return normalizePlatform({ os, architecture, variant, 'os.version': version, 'os.features': features });
}
