import { type ParseError, parseTree, printParseErrorCode } from 'jsonc-parser';

import { quoted } from '../../spec/index.js';

/** Where a text is not JSON, and why in words. */
export interface SyntaxFault {
  readonly offset: number;
  readonly what: string;
}

/** By the name that the parser gives them. */
const FAULTS: Readonly<Record<string, string>> = {
  PropertyNameExpected: 'the name of a field has to stand here, in double quotes',
  ValueExpected: 'a value is missing here',
  ColonExpected: 'a colon is missing here',
  CommaExpected: 'a comma is missing here',
  CloseBraceExpected: 'a } is missing here',
  CloseBracketExpected: 'a ] is missing here',
  EndOfFileExpected: 'the policy has ended before this, and nothing may follow it',
  InvalidCommentToken: 'a policy may have no comments, since JSON has none',
  UnexpectedEndOfComment: 'a policy may have no comments, since JSON has none',
  UnexpectedEndOfString: 'this string does not end on its line',
  UnexpectedEndOfNumber: 'this is no number',
  InvalidNumberFormat: 'this is no number',
  InvalidUnicode: 'this string has a \\u without four hexadecimal digits',
  InvalidEscapeCharacter: 'this string has a \\ before what cannot follow one',
  InvalidCharacter: 'this string has a control character',
};

/** Says of a text that `JSON.parse` has refused what is wrong with it. */
export function syntaxFault(content: string): SyntaxFault {
  if (content.trim() === '') return { offset: 0, what: 'the policy is empty' };
  if (content.startsWith('\uFEFF')) {
    return { offset: 0, what: 'the policy begins with a byte order mark, which JSON has not' };
  }
  const error = firstError(content);
  if (error === undefined) return { offset: 0, what: 'the policy is not JSON' };
  const { offset, length } = error;
  const there = content.slice(offset, offset + length);
  if (/^[}\]]/.test(there) && content.slice(0, offset).trimEnd().endsWith(',')) {
    return { offset, what: `no comma may stand before this ${there}` };
  }
  return { offset, what: FAULTS[printParseErrorCode(error.error)] ?? `${quoted(there, 40)} is not JSON` };
}

/** The parser recovers from errors, and tells of all; the first is the one that is there. */
function firstError(content: string): ParseError | undefined {
  const errors: ParseError[] = [];
  try {
    parseTree(content, errors, {
      disallowComments: true,
      allowTrailingComma: false,
      allowEmptyContent: false,
    });
  } catch {
    // It is nested deeper than the stack, which says enough about it.
    return undefined;
  }
  return errors[0];
}
