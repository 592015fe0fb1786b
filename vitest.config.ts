import { availableParallelism } from 'node:os';
import { configDefaults, defineConfig, type ViteUserConfig } from 'vitest/config';
import type { TestCase, TestModule, TestSuite } from 'vitest/node';
import { COVERED } from './test/support/covered.js';
import { isRoot, NEEDS_ROOT } from './test/support/needs-root.js';
import { CHANGES_ITS_PROCESS } from './test/support/own-process.js';
import { onlyPrivileges, PRIVILEGES_MATTER } from './test/support/privileges-matter.js';
import { keepRecord } from './test/support/secret-records.js';

/** Where unit tests lie: what they test is in their own process. */
const UNIT_FOLDERS = [
  ...['cli', 'concurrency', 'content', 'daemon', 'engine', 'library', 'metadata', 'registry'],
  ...['serve', 'spec', 'system', 'transfer', 'trust', 'unpack'],
].map((folder) => `test/${folder}/`);
const UNITS = UNIT_FOLDERS.map((folder) => `${folder}**/*.test.ts`);

const isUnit = (glob: string): boolean => UNIT_FOLDERS.some((folder) => glob.startsWith(folder));
const excluded = [...configDefaults.exclude, ...(isRoot ? [] : NEEDS_ROOT)];
const files = onlyPrivileges
  ? {
      units: PRIVILEGES_MATTER.filter(isUnit),
      others: PRIVILEGES_MATTER.filter((glob) => !isUnit(glob)),
      ownProcess: CHANGES_ITS_PROCESS.filter((glob) => PRIVILEGES_MATTER.includes(glob)),
    }
  : { units: UNITS, others: ['test/**/*.test.ts'], ownProcess: [...CHANGES_ITS_PROCESS] };
const each = {
  // What configuration this machine has does not reach the command, where a test leaves it the environment.
  env: { LANDFALL_CONFIG: '/dev/null' },
  // So long that what comes to an end does so on a machine that is busy with more than these tests.
  testTimeout: 120_000,
  hookTimeout: 240_000,
  expect: { poll: { timeout: 30_000 } },
};

const config: ViteUserConfig = defineConfig({
  test: {
    globalSetup: [
      'test/support/name-what-is-missing.ts',
      'test/support/build-once.ts',
      'test/support/search-for-secrets.ts',
    ],
    onConsoleLog: (text, type, entity) => {
      keepRecord({ text, source: `${type} of a test`, test: nameOf(entity) });
    },
    // Many tests wait half of their time for disks and processes, so that it takes three files at once to keep two cores busy.
    maxWorkers: Math.max(3, availableParallelism() - 1),
    projects: [
      {
        // These files share the modules that they load: loading them anew costs more than most of them take.
        test: {
          ...each,
          name: 'units',
          include: files.units,
          exclude: [...excluded, ...CHANGES_ITS_PROCESS],
          isolate: false,
        },
      },
      {
        test: {
          ...each,
          name: 'isolated',
          include: files.others,
          exclude: [...excluded, ...UNITS],
        },
      },
      { test: { ...each, name: 'own process', include: files.ownProcess, exclude: excluded } },
    ],
    coverage: COVERED,
  },
});

function nameOf(entity: TestModule | TestSuite | TestCase | undefined): string {
  if (entity === undefined) return 'no test';
  if (entity.type === 'module') return entity.relativeModuleId;
  return `${entity.module.relativeModuleId} > ${entity.fullName}`;
}

export default config;
