import { describe, expect, it } from 'vitest';
import { convertConfig } from '../../src/unpack/bundle/convert-config.js';
import { runtimeConfigFaults } from './runtime-config-faults.js';

const SOUND = convertConfig(
  { os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [] } },
  {
    user: { uid: 0, gid: 0, additionalGids: [], home: undefined },
    root: 'rootfs',
    terminal: false,
    rootless: false,
    mappings: undefined,
  },
);

describe('the rules that runtime configurations are held against', () => {
  it('let a sound one pass', () => {
    expect(runtimeConfigFaults(SOUND)).toEqual([]);
  });

  it.each<[string, string, object]>([
    ['without a version', 'ociVersion', { ociVersion: undefined }],
    [
      'whose user is a name',
      '/process/user/uid',
      { process: { ...SOUND.process, user: { uid: 'app', gid: 0 } } },
    ],
    [
      'whose user ID is too large',
      '/process/user/uid',
      { process: { ...SOUND.process, user: { uid: 2 ** 32, gid: 0 } } },
    ],
    ['without a working directory', "'cwd'", { process: { ...SOUND.process, cwd: undefined } }],
    ['with a misspelt key', 'additional properties', { hostName: 'x' }],
    [
      'with a misspelt key of the process',
      '/process must NOT have additional',
      { process: { ...SOUND.process, environment: [] } },
    ],
    [
      'with a misspelt key of Linux',
      '/linux must NOT have additional',
      { linux: { ...SOUND.linux, maskPaths: [] } },
    ],
    [
      'with a limit that is none',
      '/process/rlimits/0/type',
      { process: { ...SOUND.process, rlimits: [{ type: 'NOFILE', hard: 1, soft: 1 }] } },
    ],
    ['with a mount to nowhere', "'destination'", { mounts: [{ type: 'tmpfs', source: 'tmpfs' }] }],
    ['with an annotation that is no string', '/annotations/a', { annotations: { a: 1 } }],
    [
      'with a namespace that is none',
      '/linux/namespaces/0/type',
      { linux: { ...SOUND.linux, namespaces: [{ type: 'net' }] } },
    ],
    ['without arguments', 'at least one entry', { process: { ...SOUND.process, args: [] } }],
    ['with a relative working directory', 'cwd is absolute', { process: { ...SOUND.process, cwd: 'app' } }],
    ['with a NUL in a variable', 'NUL', { process: { ...SOUND.process, env: ['A=b\0c'] } }],
    [
      'with mappings but no user namespace',
      'mappings come with',
      { linux: { ...SOUND.linux, uidMappings: [], gidMappings: [] } },
    ],
    [
      'with one namespace twice',
      'not repeated',
      { linux: { ...SOUND.linux, namespaces: [{ type: 'mount' }, { type: 'mount' }] } },
    ],
    [
      'with the mounts of the machine',
      'mount namespace',
      { linux: { ...SOUND.linux, namespaces: [{ type: 'pid' }] } },
    ],
  ])('refuse one %s', (_, fault, change) => {
    const changed = JSON.parse(JSON.stringify({ ...SOUND, ...change })) as unknown;
    expect(runtimeConfigFaults(changed)[0]).toContain(fault);
  });
});
