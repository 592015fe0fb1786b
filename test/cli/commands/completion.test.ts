import { expect, test } from 'vitest';
import { main } from '../../../src/cli/main.js';
import { FakeSignals, fakeSurroundings } from '../fake-surroundings.js';

test.each(['bash', 'zsh', 'fish'])('the script for %s is the same when answers are JSON', async (shell) => {
  const script = async (env: Record<string, string>): Promise<string> => {
    const surroundings = fakeSurroundings({ env });
    expect(await main(['completion', shell], surroundings, new FakeSignals())).toBe(0);
    return surroundings.stdout.text;
  };
  const plain = await script({});
  expect(plain).toContain(`made by: landfall completion ${shell}`);
  expect(await script({ LANDFALL_OUTPUT: 'json' })).toBe(plain);
});
