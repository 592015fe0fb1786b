import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LandfallError } from '../../../src/errors.js';
import type { ContainerConfig, ImageConfig } from '../../../src/spec/index.js';
import {
  convertConfig,
  type ConvertOptions,
  requireConvertible,
} from '../../../src/unpack/bundle/convert-config.js';
import { type IdMappings, unmappedIds } from '../../../src/unpack/bundle/runtime-config.js';
import type { RuntimeConfig, RuntimeUser } from '../../../src/unpack/index.js';
import { runtimeConfigFaults } from '../../support/runtime-config-faults.js';

const IMAGE: ImageConfig = { os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [] } };
const OPTIONS: ConvertOptions = {
  user: { uid: 0, gid: 0, additionalGids: [], home: undefined },
  root: 'rootfs',
  terminal: false,
  rootless: false,
  mappings: undefined,
};
const MANY: IdMappings = {
  uid: [{ container: 0, host: 100_000, size: 65_536 }],
  gid: [{ container: 0, host: 200_000, size: 65_536 }],
};
const ONE: IdMappings = {
  uid: [{ container: 0, host: 4000, size: 1 }],
  gid: [{ container: 0, host: 4001, size: 1 }],
};
const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Converts, and holds the result against the rules of runtime-spec. */
function convert(image: Partial<ImageConfig> = {}, options: Partial<ConvertOptions> = {}): RuntimeConfig {
  const config = convertConfig({ ...IMAGE, ...image }, { ...OPTIONS, ...options });
  expect(runtimeConfigFaults(JSON.parse(JSON.stringify(config)))).toEqual([]);
  return config;
}

const convertContainer = (config: ContainerConfig, options: Partial<ConvertOptions> = {}): RuntimeConfig =>
  convert({ config }, options);

describe('conversion.md: Verbatim Fields', () => {
  it.each<[string, ContainerConfig, Partial<RuntimeConfig['process']>]>([
    ['WorkingDir is cwd', { WorkingDir: '/srv/../app//' }, { cwd: '/srv/../app//' }],
    ['no WorkingDir: /', {}, { cwd: '/' }],
    ['an empty WorkingDir: /', { WorkingDir: '' }, { cwd: '/' }],
    ['Env is env, in its order', { Env: ['PATH=/b', 'B=2', 'A=1'] }, { env: ['PATH=/b', 'B=2', 'A=1'] }],
    [
      'Env that is odd',
      { Env: ['PATH=', 'A', '=', 'A=1=2', 'A=3'] },
      { env: ['PATH=', 'A', '=', 'A=1=2', 'A=3'] },
    ],
    ['Env without PATH: after all others', { Env: ['XPATH=/x'] }, { env: ['XPATH=/x', PATH] }],
    ['Env with a PATH that is not set', { Env: ['PATH'] }, { env: ['PATH'] }],
    ['no Env', {}, { env: [PATH] }],
    ['Entrypoint alone', { Entrypoint: ['/e', '-x'] }, { args: ['/e', '-x'] }],
    ['Cmd alone', { Cmd: ['/c', ''] }, { args: ['/c', ''] }],
    ['Cmd after Entrypoint', { Entrypoint: ['/e'], Cmd: ['a', 'b'] }, { args: ['/e', 'a', 'b'] }],
    ['neither: a shell', {}, { args: ['sh'] }],
    ['both empty: a shell', { Entrypoint: [], Cmd: [] }, { args: ['sh'] }],
  ])('%s', (_, config, expected) => {
    expect(convertContainer(config).process).toMatchObject(expected);
  });
});

describe('conversion.md: Annotation Fields', () => {
  const key = (name: string): string => `org.opencontainers.image.${name}`;

  it.each<[string, Partial<ImageConfig>, Record<string, string>]>([
    ['os and architecture', {}, {}],
    ['variant', { variant: 'v8' }, { variant: 'v8' }],
    ['os.version', { 'os.version': '10.0' }, { 'os.version': '10.0' }],
    ['os.features', { 'os.features': ['a', 'b'] }, { 'os.features': 'a,b' }],
    ['no os.features', { 'os.features': [] }, {}],
    ['author', { author: 'Ann <ann@example.org>' }, { author: 'Ann <ann@example.org>' }],
    ['an empty author', { author: '' }, {}],
    [
      'created, as it stands',
      { created: '2001-02-03T04:05:06.7+01:00' },
      { created: '2001-02-03T04:05:06.7+01:00' },
    ],
    ['StopSignal', { config: { StopSignal: 'SIGRTMIN+3' } }, { stopSignal: 'SIGRTMIN+3' }],
    ['no StopSignal', { config: {} }, {}],
    [
      'ExposedPorts, sorted',
      { config: { ExposedPorts: { '8080/udp': {}, '443': {}, '80/tcp': {} } } },
      { exposedPorts: '443,80/tcp,8080/udp' },
    ],
    ['no ExposedPorts', { config: { ExposedPorts: {} } }, {}],
  ])('%s', (_, image, expected) => {
    const wanted = { os: 'linux', architecture: 'amd64', ...expected };
    const annotations = Object.entries(wanted).map(([name, value]) => [key(name), value]);
    expect(convert(image).annotations).toEqual(Object.fromEntries(annotations));
  });

  it('Labels are added, whatever their names', () => {
    const text = '{"com.example.team":"harbour","":"empty","__proto__":"own","constructor":"too"}';
    const Labels = JSON.parse(text) as Record<string, string>;
    const annotations = Object.entries(convertContainer({ Labels }).annotations);
    expect(annotations).toEqual(expect.arrayContaining(Object.entries(Labels)));
  });

  it.each([
    'os',
    'architecture',
    'variant',
    'os.version',
    'os.features',
    'author',
    'created',
    'stopSignal',
    'exposedPorts',
  ])('a label wins over %s, an empty one too', (name) => {
    const image = {
      variant: 'v8',
      'os.version': '1',
      'os.features': ['a'],
      author: 'Ann',
      created: '2001-02-03T04:05:06Z',
    };
    const container = { StopSignal: 'SIGINT', ExposedPorts: { '80': {} } };
    for (const value of ['mine', '']) {
      const config = { ...container, Labels: { [key(name)]: value } };
      expect(convert({ ...image, config }).annotations[key(name)]).toBe(value);
    }
    expect(convert({ ...image, config: container }).annotations[key(name)]).not.toBe('mine');
  });

  it('leaves out what the image does not say', () => {
    expect(convert({ os: '', architecture: '' }).annotations).toEqual({});
  });
});

describe('conversion.md: Config.User', () => {
  const user = { uid: 1000, gid: 100, additionalGids: [50, 29], home: '/home/app' };

  it('gives the process its numbers and its groups', () => {
    const { process } = convert({}, { user });
    expect(process.user).toEqual({ uid: 1000, gid: 100, additionalGids: [50, 29] });
    expect(process.env).toEqual([PATH, 'HOME=/home/app']);
  });

  it('leaves the HOME of the image as it is', () => {
    expect(convertContainer({ Env: ['HOME=/h'] }, { user }).process.env).toEqual(['HOME=/h', PATH]);
  });

  it('has no list where there are no additional groups, nor where none may be chosen', () => {
    const alone = { ...user, additionalGids: [] };
    expect(convert({}, { user: alone }).process.user).toEqual({ uid: 1000, gid: 100 });
    const { process } = convert({}, { user, rootless: true, mappings: ONE });
    expect(process.user).toEqual({ uid: 1000, gid: 100 });
  });
});

describe('conversion.md: Config.Volumes', () => {
  const mountsOf = (config: ContainerConfig, o: Partial<ConvertOptions> = {}): RuntimeConfig['mounts'] =>
    convertContainer(config, o).mounts.filter(({ destination }) => destination.startsWith('/data'));
  const OPTIONS_OF_ROOT = ['rw', 'nosuid', 'nodev', 'relatime', 'mode=0755'];
  const user = { uid: 1000, gid: 100, additionalGids: [], home: undefined };

  it('are file systems in memory', () => {
    expect(mountsOf({ Volumes: { '/data': {} } })).toEqual([
      { destination: '/data', type: 'tmpfs', source: 'tmpfs', options: OPTIONS_OF_ROOT },
    ]);
  });

  it('are mounted after the others, and an outer one before those in it', () => {
    const Volumes = { '/data/b/c': {}, '/data/b': {}, '/data': {}, '/data-b': {}, '/data/a/': {} };
    const { mounts } = convertContainer({ Volumes });
    const destinations = mounts.map(({ destination }) => destination);
    expect(destinations.slice(-5)).toEqual(['/data', '/data-b', '/data/a/', '/data/b', '/data/b/c']);
    expect(destinations[0]).toBe('/proc');
  });

  it.each<[string, IdMappings | undefined, readonly string[]]>([
    ['without a user namespace', undefined, ['uid=1000', 'gid=100']],
    ['with one that has the user', MANY, ['uid=1000', 'gid=100']],
    ['with one that has not', ONE, []],
  ])('belong to the user, %s', (_, mappings, owner) => {
    expect(mountsOf({ Volumes: { '/data': {} } }, { user, mappings })[0]?.options).toEqual([
      ...OPTIONS_OF_ROOT,
      ...owner,
    ]);
  });
});

describe('what the specification leaves open', () => {
  const SYS = { destination: '/sys', type: 'none', source: '/sys' };
  const types = ({ linux }: RuntimeConfig): string[] => linux.namespaces.map(({ type }) => type);
  const ptsOptions = ({ mounts }: RuntimeConfig): readonly string[] | undefined =>
    mounts.find(({ destination }) => destination === '/dev/pts')?.options;

  it('is customary', () => {
    const config = convert();
    expect(config).toMatchObject({
      root: { path: 'rootfs', readonly: false },
      process: {
        terminal: false,
        noNewPrivileges: true,
        rlimits: [{ type: 'RLIMIT_NOFILE', hard: 1024, soft: 1024 }],
      },
      linux: { resources: { devices: [{ allow: false, access: 'rwm' }] } },
    });
    expect(types(config)).toEqual(['pid', 'network', 'ipc', 'uts', 'mount', 'cgroup']);
    expect(config.mounts.map(({ destination }) => destination)).toEqual([
      '/proc',
      '/dev',
      '/dev/pts',
      '/dev/shm',
      '/dev/mqueue',
      '/sys',
      '/sys/fs/cgroup',
    ]);
    expect(config.linux.maskedPaths).toContain('/proc/kcore');
    expect(config.linux.readonlyPaths).toContain('/proc/sys');
    expect(config.process.capabilities.bounding).toContain('CAP_CHOWN');
    expect(config.process.capabilities.bounding).not.toContain('CAP_SYS_ADMIN');
  });

  it('with a terminal has a TERM, unless the image has one', () => {
    const terminal = true;
    expect(convert({}, { terminal }).process).toMatchObject({ terminal, env: [PATH, 'TERM=xterm'] });
    const { env } = convertContainer({ Env: ['TERM=dumb'] }, { terminal }).process;
    expect(env).toEqual(['TERM=dumb', PATH]);
  });

  it('without root has neither control groups nor a network, and the machine’s /sys', () => {
    const config = convert({}, { rootless: true, mappings: ONE });
    expect(types(config)).toEqual(['pid', 'ipc', 'uts', 'mount', 'cgroup', 'user']);
    expect(config.linux).not.toHaveProperty('resources');
    expect(config.linux.uidMappings).toEqual([{ containerID: 0, hostID: 4000, size: 1 }]);
    expect(config.linux.gidMappings).toEqual([{ containerID: 0, hostID: 4001, size: 1 }]);
    expect(config.mounts.filter(({ destination }) => destination.startsWith('/sys'))).toMatchObject([SYS]);
    expect(ptsOptions(config)).not.toContain('gid=5');
  });

  it('with mapped IDs has a user namespace beside the others', () => {
    const config = convert({}, { mappings: MANY });
    expect(types(config)).toEqual(['pid', 'network', 'ipc', 'uts', 'mount', 'cgroup', 'user']);
    expect(config.linux.uidMappings).toEqual([{ containerID: 0, hostID: 100_000, size: 65_536 }]);
    expect(config.linux.gidMappings).toEqual([{ containerID: 0, hostID: 200_000, size: 65_536 }]);
    expect(ptsOptions(config)).toContain('gid=5');
  });

  it.each<[string, RuntimeUser, IdMappings, readonly string[]]>([
    ['nothing', { uid: 1000, gid: 65_535, additionalGids: [0] }, MANY, []],
    ['the user', { uid: 65_536, gid: 0 }, MANY, ['user 65536']],
    ['all', { uid: 1, gid: 2, additionalGids: [2, 3, 0] }, ONE, ['user 1', 'group 2', 'group 3']],
  ])('tells of a user namespace that lacks %s', (_, user, mappings, missing) => {
    expect(unmappedIds(user, mappings)).toEqual(missing);
  });
});

describe('what nothing can run', () => {
  it.each<[string, Partial<ImageConfig>, string]>([
    ['another operating system', { os: 'windows' }, 'UNSUPPORTED'],
    ['a relative WorkingDir', { config: { WorkingDir: 'app' } }, 'INVALID_MANIFEST'],
    ['a relative volume', { config: { Volumes: { data: {} } } }, 'INVALID_MANIFEST'],
    ['a volume without a name', { config: { Volumes: { '': {} } } }, 'INVALID_MANIFEST'],
    ['a NUL in WorkingDir', { config: { WorkingDir: '/a\0b' } }, 'INVALID_MANIFEST'],
    ['a NUL in a volume', { config: { Volumes: { '/a\0b': {} } } }, 'INVALID_MANIFEST'],
    ['a NUL in Env', { config: { Env: ['OK=1', 'A=b\0LD_PRELOAD=/x'] } }, 'INVALID_MANIFEST'],
    ['a NUL in Entrypoint', { config: { Entrypoint: ['a\0b'] } }, 'INVALID_MANIFEST'],
    ['a NUL in Cmd', { config: { Cmd: ['a\0b'] } }, 'INVALID_MANIFEST'],
  ])('refuses %s', (_, image, code) => {
    expect(() => requireConvertible({ ...IMAGE, ...image })).toThrow(
      expect.objectContaining({ code }) as Error,
    );
  });

  it('takes an image that does not say what it is for', () => {
    expect(() => requireConvertible({ ...IMAGE, os: '' })).not.toThrow();
  });
});

describe('any image config', () => {
  const text = fc.string({ unit: 'binary', maxLength: 12 });
  const path = text.map((part) => `/${part}`);
  const list = fc.array(text, { maxLength: 4 });
  const set = (key: fc.Arbitrary<string>): fc.Arbitrary<Record<string, object>> =>
    fc.dictionary(key, fc.constant({}), { maxKeys: 4 });
  const container = fc.record<ContainerConfig>(
    {
      ExposedPorts: set(text),
      Env: list,
      Entrypoint: list,
      Cmd: list,
      Volumes: set(fc.oneof({ weight: 9, arbitrary: path }, text)),
      WorkingDir: fc.oneof({ weight: 9, arbitrary: path }, text),
      Labels: fc.dictionary(text, text, { maxKeys: 4 }),
      StopSignal: text,
    },
    { requiredKeys: [] },
  );
  const image = fc
    .record(
      {
        variant: text,
        'os.version': text,
        'os.features': list,
        author: text,
        created: text,
        config: container,
      },
      { requiredKeys: [] },
    )
    .map((fields): ImageConfig => ({ ...IMAGE, ...fields }));
  const id = fc.integer({ min: 0, max: 0xffff_fffe });
  const options = fc.record<ConvertOptions>({
    user: fc.record({
      uid: id,
      gid: id,
      additionalGids: fc.array(id, { maxLength: 3 }),
      home: fc.constantFrom(undefined, '/', '/home/app'),
    }),
    root: fc.constant('rootfs'),
    terminal: fc.boolean(),
    rootless: fc.constant(false),
    mappings: fc.constantFrom(undefined, ONE, MANY),
  });
  const rootless = options.map((o): ConvertOptions => ({
    ...o,
    rootless: true,
    mappings: o.mappings ?? ONE,
  }));

  it('is refused with a code, or gives a configuration that runtime-spec allows and that has all of its own', () => {
    let converted = 0;
    fc.assert(
      fc.property(image, fc.oneof(options, rootless), (config, o) => {
        try {
          requireConvertible(config);
        } catch (error) {
          if (error instanceof LandfallError) return;
          throw error;
        }
        const made = JSON.parse(JSON.stringify(convertConfig(config, o))) as RuntimeConfig;
        expect(runtimeConfigFaults(made)).toEqual([]);
        const own = config.config ?? {};
        expect(made.process.env.slice(0, own.Env?.length ?? 0)).toEqual(own.Env ?? []);
        const annotations = Object.entries(made.annotations);
        expect(annotations).toEqual(expect.arrayContaining(Object.entries(own.Labels ?? {})));
        const destinations = made.mounts.map(({ destination }) => destination);
        expect(destinations).toEqual(expect.arrayContaining(Object.keys(own.Volumes ?? {})));
        converted += 1;
      }),
      { numRuns: 500 },
    );
    expect(converted).toBeGreaterThan(100);
  });
});
