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
