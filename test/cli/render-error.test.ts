import { describe, expect, test } from 'vitest';
import { renderError, renderErrorJson } from '../../src/cli/output/command-context.js';
import { ContentError, LandfallError, RegistryError } from '../../src/errors.js';

describe('an error for people', () => {
  test.each([
    [
      'message and hint',
      new LandfallError('LOCKED', 'the store is locked', { hint: 'wait' }),
      'landfall: the store is locked\n  hint: wait\n',
    ],
    [
      'message, cause and hint',
      new ContentError('FILESYSTEM', 'the store cannot be opened', {
        cause: new Error('EACCES: permission denied'),
        hint: 'run as root',
      }),
      'landfall: the store cannot be opened\n  EACCES: permission denied\n  hint: run as root\n',
    ],
    [
      'a cause that says nothing new is left out',
      new ContentError('FILESYSTEM', 'cannot open: EACCES', { cause: new Error('EACCES'), hint: 'x' }),
      'landfall: cannot open: EACCES\n  hint: x\n',
    ],
    [
      'a cause below a cause that says nothing new',
      new ContentError('FILESYSTEM', 'outer', {
        cause: new Error('outer', { cause: new Error('inner') }),
        hint: 'x',
      }),
      'landfall: outer\n  inner\n  hint: x\n',
    ],
    [
      'several lines become one, and nothing moves the cursor',
      new RegistryError('DENIED', 'no:\r\n  \u001b[2Jgo\u202e away', { hint: 'x' }),
      'landfall: no: \\u001b[2Jgo\\u202e away\n  hint: x\n',
    ],
  ])('%s', (_, error, text) => {
    expect(renderError(error)).toBe(text);
  });

  test('has three lines at most, whatever the error holds', () => {
    const cause = new Error('a\nb\nc', { cause: new Error('d\ne') });
    const error = new LandfallError('LOCKED', 'one\ntwo', { cause, hint: 'x\ny' });
    expect(renderError(error, { subject: 'z' }).split('\n')).toHaveLength(4);
  });

  test('names the argument where the message does not', () => {
    const error = new RegistryError('NOT_FOUND', 'no such tag', { hint: 'x' });
    expect(renderError(error, { subject: 'alpine:9' })).toBe('landfall: alpine:9: no such tag\n  hint: x\n');
    const named = new RegistryError('NOT_FOUND', 'there is no alpine:9', { hint: 'x' });
    expect(renderError(named, { subject: 'alpine:9' })).toBe('landfall: there is no alpine:9\n  hint: x\n');
  });

  test.each([
    ['docker://quay.io/a:1', 'docker://quay.io/a has no 1', 'docker://quay.io/a has no 1'],
    [
      'mirror.lan:5000/a:1',
      'mirror.lan:5000 refused the connection',
      'a:1: mirror.lan:5000 refused the connection',
    ],
    ['docker://quay.io/a', 'quay.io asks for credentials', 'a: quay.io asks for credentials'],
    ['/srv/a.tar', 'it is cut short', '/srv/a.tar: it is cut short'],
  ])('a name stands in it once: %s', (subject, message, text) => {
    const error = new RegistryError('NOT_FOUND', message, { hint: 'x' });
    expect(renderError(error, { subject })).toBe(`landfall: ${text}\n  hint: x\n`);
  });

  test.each([
    ['quay.io/a:1: not deleted', 'quay.io/a:1: 405 Method Not Allowed', '  405 Method Not Allowed\n'],
    ['127.0.0.1:1 refused the connection', 'connect ECONNREFUSED 127.0.0.1:1', ''],
    [
      'mirror.lan refused the connection',
      'connect ECONNREFUSED 127.0.0.1:1',
      '  connect ECONNREFUSED 127.0.0.1:1\n',
    ],
  ])('a cause does not repeat it: %s', (message, cause, line) => {
    const error = new RegistryError('UNAVAILABLE', message, { cause: new Error(cause), hint: 'x' });
    expect(renderError(error)).toBe(`landfall: ${message}\n${line}  hint: x\n`);
  });

  test('what nobody foresaw is called a defect', () => {
    expect(renderError(new TypeError('x is not a function'))).toBe(
      'landfall: internal error: x is not a function\n' +
        '  hint: This is a defect in landfall: run it again with --log-level debug and report what it prints.\n',
    );
  });
});

describe('an error for programs', () => {
  test('is one object on one line, with its facts in order', () => {
    const error = new RegistryError('RATE_LIMITED', 'slow\ndown', {
      hint: 'wait',
      details: { status: 429, registryCodes: ['TOOMANYREQUESTS'] },
      retryable: true,
    });
    const text = renderErrorJson(error);
    expect(text).toBe(
      '{"code":"RATE_LIMITED","message":"slow\\ndown","hint":"wait",' +
        '"details":{"status":429,"registryCodes":["TOOMANYREQUESTS"]},"retryable":true}\n',
    );
  });

  test('leaves out what there is not', () => {
    expect(JSON.parse(renderErrorJson(new LandfallError('IN_USE', 'x', { hint: 'y' })))).toEqual({
      code: 'IN_USE',
      message: 'x',
      hint: 'y',
      retryable: false,
    });
  });

  test('has a code for what nobody foresaw', () => {
    expect(JSON.parse(renderErrorJson(new RangeError('x')))).toMatchObject({
      code: 'INTERNAL',
      retryable: false,
    });
  });
});
