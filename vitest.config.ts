import { configDefaults, defineConfig, type ViteUserConfig } from 'vitest/config';
import { isRoot, NEEDS_ROOT } from './test/support/needs-root.js';

const config: ViteUserConfig = defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: [...configDefaults.exclude, ...(isRoot ? [] : NEEDS_ROOT)],
    globalSetup: ['test/support/name-what-is-missing.ts', 'test/support/build-once.ts'],
    testTimeout: 60_000,
    hookTimeout: 180_000,
    coverage: {
      provider: 'v8',
      include: ['src/spec/**'],
      thresholds: { lines: 95 },
    },
  },
});

export default config;
