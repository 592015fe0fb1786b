import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { avoidedIn } from '../../scripts/plain-words.js';
import { createProgram } from '../../src/cli/program.js';

const program = createProgram(() => Promise.resolve());

describe('help in plain words', () => {
  it.each([program, ...program.commands].map((command) => [command.name(), command] as const))(
    'of %s',
    (_, command) => {
      const texts = [
        command.description(),
        command.summary(),
        ...[...command.options, ...command.registeredArguments].map(({ description }) => description),
      ];
      expect(texts.flatMap((text) => avoidedIn(text))).toEqual([]);
    },
  );
});

it('hints in plain words', () => {
  const paths = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((path) =>
    path.endsWith('.ts'),
  );
  const hints = paths.flatMap((path) =>
    [...readFileSync(join('src', path), 'utf8').matchAll(/\bhint:\s*(['"`])(.*?)\1/g)].map(
      ([, , hint = '']) => hint,
    ),
  );
  expect(hints.length).toBeGreaterThan(200);
  expect(hints.filter((hint) => avoidedIn(hint).length > 0)).toEqual([]);
});
