import { status } from '@grpc/grpc-js';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { GRPC_STATUS, grpcStatusOf, serviceError, StatusError } from '../../../src/daemon/grpc/calls.js';
import { LandfallError, RegistryError } from '../../../src/errors.js';

describe('the status of an error', () => {
  it('is the one that the manual says', async () => {
    const manual = await readFile(resolve(import.meta.dirname, '../../../docs/node.md'), 'utf8');
    const rows = [...manual.matchAll(/^\| ([A-Z_]+) +\| (.*?) *\|$/gm)];
    const listed = new Map(
      rows.flatMap(([, name = '', codes = '']) =>
        codes.split(', ').map((code): [string, string] => [code, name]),
      ),
    );
    expect(listed.get('the rest')).toBe('FAILED_PRECONDITION');
    for (const [code, found] of Object.entries(GRPC_STATUS))
      expect([code, status[found]]).toEqual([code, listed.get(code) ?? 'FAILED_PRECONDITION']);
  });

  it('is INTERNAL for what nobody meant, and its text stays here', () => {
    expect(grpcStatusOf(new Error('the password is pear'))).toBe(status.INTERNAL);
    expect(serviceError(new Error('the password is pear')).details).not.toContain('pear');
    expect(serviceError('pear').details).not.toContain('pear');
  });

  it('comes with the code, the message and what to do', () => {
    const { code, details, metadata } = serviceError(
      new RegistryError('UNAUTHORIZED', 'quay.io wants credentials', { hint: 'Log in.' }),
    );
    expect({ code, details }).toEqual({
      code: status.UNAUTHENTICATED,
      details: 'quay.io wants credentials. Log in.',
    });
    expect(metadata.get('landfall-error-code')).toEqual(['UNAUTHORIZED']);
  });

  it('may be another one where a specification asks for it, with the same code', () => {
    const cause = new LandfallError('UNAVAILABLE', 'gone');
    const { code, details, metadata } = serviceError(
      new StatusError(status.UNKNOWN, 'RegistryUnavailable: gone', cause),
    );
    expect({ code, details }).toEqual({ code: status.UNKNOWN, details: 'RegistryUnavailable: gone' });
    expect(metadata.get('landfall-error-code')).toEqual(['UNAVAILABLE']);
  });
});
