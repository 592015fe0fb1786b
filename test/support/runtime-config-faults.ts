import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv, type ValidateFunction } from 'ajv';
import type { RuntimeConfig } from '../../src/unpack/index.js';

type Json = null | boolean | number | string | Json[] | JsonObject;
interface JsonObject {
  [key: string]: Json;
}

const FILES = ['defs.json', 'defs-linux.json', 'config-linux.json', 'config-schema.json'] as const;
/** Keys whose schemas are not here, so that they are refused as unknown. */
const OTHER_PLATFORMS: ReadonlySet<string> = new Set(['solaris', 'windows', 'vm', 'zos', 'freebsd']);

let validate: ValidateFunction | undefined;

/**
 * What of a runtime configuration for Linux is not as runtime-spec says: by its schemas, then by what only
 * its text says.
 */
export function runtimeConfigFaults(config: unknown): string[] {
  validate ??= compile();
  if (validate(config)) return textFaults(config as RuntimeConfig);
  return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message ?? ''}`);
}

function compile(): ValidateFunction {
  // The schemas are of draft 4, of which they use nothing that later ones read otherwise.
  const ajv = new Ajv({ allErrors: true, strict: false, validateSchema: false });
  for (const file of FILES) ajv.addSchema(strictly(readSchema(file)) as object, file);
  const compiled = ajv.getSchema('config-schema.json');
  if (compiled === undefined) throw new Error('config-schema.json was not added');
  return compiled;
}

function readSchema(file: string): Json {
  const path = join(import.meta.dirname, 'runtime-spec', file);
  return JSON.parse(readFileSync(path, 'utf8'), (key, value: Json) =>
    key === '$schema' || OTHER_PLATFORMS.has(key) ? undefined : value,
  ) as Json;
}

/** The schemas let unknown keys pass, so a misspelt one would too: here they are refused. */
function strictly(schema: Json): Json {
  if (Array.isArray(schema)) return schema.map(strictly);
  if (typeof schema !== 'object' || schema === null) return schema;
  const inner = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, strictly(value)]));
  const closed = inner['type'] === 'object' && 'properties' in inner && !('additionalProperties' in inner);
  return closed ? { ...inner, additionalProperties: false } : inner;
}

const CAPABILITY = /^CAP_[A-Z]+(_[A-Z]+)*$/;

/** Each line is one rule, with the section that has it. */
function textFaults({ process, root, mounts, linux }: RuntimeConfig): string[] {
  const { bounding, effective, permitted } = process.capabilities;
  const capabilities = [...bounding, ...effective, ...permitted];
  const types = linux.namespaces.map(({ type }) => type);
  const limits = process.rlimits.map(({ type }) => type);
  const texts = [...process.args, ...process.env, process.cwd, ...mounts.map((mount) => mount.destination)];
  const hasUsers = types.includes('user');
  const rules: readonly (readonly [fault: string, holds: boolean])[] = [
    ['config.md: process.args has at least one entry', process.args.length > 0],
    ['config.md: process.cwd is absolute', process.cwd.startsWith('/')],
    ['config.md: rlimits are not repeated', new Set(limits).size === limits.length],
    ['config.md: mounts go to absolute paths', mounts.every((mount) => mount.destination.startsWith('/'))],
    ['config.md: root.path is not empty', root.path !== ''],
    ['config.md: capabilities(7) names them', capabilities.every((name) => CAPABILITY.test(name))],
    ['capabilities(7): effective ones are permitted', effective.every((name) => permitted.includes(name))],
    ['config-linux.md: namespaces are not repeated', new Set(types).size === types.length],
    ['config-linux.md: the mount namespace is its own', types.includes('mount')],
    ['config-linux.md: mappings come with a user namespace', hasUsers === 'uidMappings' in linux],
    ['config-linux.md: both mappings or none', 'uidMappings' in linux === 'gidMappings' in linux],
    ['config-linux.md: masked paths are absolute', linux.maskedPaths.every((path) => path.startsWith('/'))],
    [
      'config-linux.md: readonly paths are absolute',
      linux.readonlyPaths.every((path) => path.startsWith('/')),
    ],
    ['execve(2): no NUL in a string', texts.every((text) => !text.includes('\0'))],
  ];
  return rules.flatMap(([fault, holds]) => (holds ? [] : [fault]));
}
