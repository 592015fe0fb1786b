import { availableParallelism } from 'node:os';
import { configDefaults, defineConfig, type ViteUserConfig } from 'vitest/config';
import type { TestCase, TestModule, TestSuite } from 'vitest/node';
import { isRoot, NEEDS_ROOT } from './test/support/needs-root.js';
import { keepRecord } from './test/support/secret-records.js';

const config: ViteUserConfig = defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: [...configDefaults.exclude, ...(isRoot ? [] : NEEDS_ROOT)],
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
    // What configuration this machine has does not reach the command, where a test leaves it the environment.
    env: { LANDFALL_CONFIG: '/dev/null' },
    testTimeout: 60_000,
    hookTimeout: 180_000,
    coverage: {
      provider: 'v8',
      include: ['src/spec/**'],
      thresholds: { lines: 95 },
    },
  },
});

function nameOf(entity: TestModule | TestSuite | TestCase | undefined): string {
  if (entity === undefined) return 'no test';
  if (entity.type === 'module') return entity.relativeModuleId;
  return `${entity.module.relativeModuleId} > ${entity.fullName}`;
}

export default config;
