import { describe, expect, test } from 'vitest';
import { parseTransport } from '../../src/transfer/transports/image-transport.js';

describe('places of images', () => {
  const app = { registry: 'quay.io', repository: 'team/app' };
  test.each([
    ['alpine', { kind: 'store', name: 'alpine' }],
    ['docker:5000/app', { kind: 'store', name: 'docker:5000/app' }],
    ['docker://quay.io/team/app:1', { kind: 'registry', reference: { ...app, tag: '1' } }],
    ['docker://quay.io/team/app', { kind: 'registry', reference: { ...app, tag: 'latest' } }],
    ['oci:mirror', { kind: 'layout', directory: 'mirror', name: undefined }],
    ['oci:/srv/mirror:lan:5000/app:1', { kind: 'layout', directory: '/srv/mirror', name: 'lan:5000/app:1' }],
    ['oci-archive:a.tar', { kind: 'archive', format: 'oci', file: 'a.tar', name: undefined }],
    ['oci-archive:-:x', { kind: 'archive', format: 'oci', file: '-', name: 'x' }],
    ['dir:/srv/a:b', { kind: 'directory', directory: '/srv/a:b' }],
    ['docker-archive:a.tar:x/y:1', { kind: 'archive', format: 'docker', file: 'a.tar', name: 'x/y:1' }],
  ])('%s', (text, expected) => {
    expect(parseTransport(text)).toEqual(expected);
  });

  test.each([
    ['oci:', 'INVALID_CONFIG'],
    ['oci::1', 'INVALID_CONFIG'],
    ['oci-archive:a.tar:', 'INVALID_CONFIG'],
    ['dir:', 'INVALID_CONFIG'],
    ['docker-daemon:alpine', 'UNSUPPORTED'],
    ['containers-storage:alpine', 'UNSUPPORTED'],
    ['docker://UPPER', 'INVALID_REFERENCE'],
  ])('%s is refused', (text, code) => {
    expect(() => parseTransport(text)).toThrow(expect.objectContaining({ code }));
  });
});
