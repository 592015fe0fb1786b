import { describe, expect, test } from 'vitest';
import { mapRepository, templateFault } from '../../../src/transfer/sync/planned.js';
import { parseTransportName } from '../../../src/transfer/sync/transport-name.js';

const APP = { registry: 'quay.io', repository: 'team/app' };
const LOCAL = { registry: '127.0.0.1:5000', repository: 'app' };

describe('how a repository is called at the destination', () => {
  test.each<[string, string | undefined, string | undefined, typeof APP, string]>([
    ['docker://mirror.lan', undefined, undefined, APP, 'mirror.lan/team/app'],
    ['docker://mirror.lan:5000/hub', undefined, undefined, APP, 'mirror.lan:5000/hub/team/app'],
    ['docker://mirror.lan/hub', '{registry}/{repository}', undefined, APP, 'mirror.lan/hub/quay.io/team/app'],
    ['docker://mirror.lan', '{registry}/{name}', undefined, LOCAL, 'mirror.lan/127.0.0.1_5000/app'],
    ['docker://mirror.lan', '{name}', undefined, APP, 'mirror.lan/app'],
    ['docker://mirror.lan/hub', '{name}', 'base/{name}-1', APP, 'mirror.lan/hub/base/app-1'],
    ['docker://docker.io', '{name}', undefined, APP, 'docker.io/library/app'],
    ['oci:dir', undefined, undefined, APP, 'quay.io/team/app'],
    ['oci-archive:a.tar', undefined, undefined, LOCAL, '127.0.0.1:5000/app'],
    ['store', undefined, 'mirror.lan/{repository}', APP, 'mirror.lan/team/app'],
    ['store', '{name}', undefined, APP, 'docker.io/library/app'],
  ])('%s with path %s and to %s', (transport, path, to, from, name) => {
    expect(mapRepository(from, to, { ...parseTransportName(transport, '/'), path })).toBe(name);
  });

  test('what makes no name is refused', () => {
    const rule = { ...parseTransportName('docker://mirror.lan', '/'), path: undefined };
    expect(() => mapRepository(APP, '{repository}:1', rule)).toThrow(
      expect.objectContaining({ code: 'INVALID_CONFIG' }),
    );
  });

  test.each<[string, string | undefined]>([
    ['{registry}/{repository}', undefined],
    ['mirror', undefined],
    ['{image}', 'there is no {image}; there are {registry}, {repository}, {name}'],
    ['{name', 'a brace stands alone'],
    ['{name}:1', 'it has a tag or a digest'],
    ['Upper/{name}', 'it makes no name of a repository'],
  ])('the template %s', (template, fault) => {
    expect(templateFault(template)).toBe(fault);
  });

  test.each([
    ['mirror.lan', 'is no place'],
    ['docker://mirror', 'does not begin with a host'],
    ['docker://mirror.lan/Upper', 'is no path'],
    ['oci:', 'without a tag'],
    ['oci:dir:tag', 'without a tag'],
    ['docker-archive:x', 'is no place'],
  ])('the place %s is refused', (text, message) => {
    expect(() => parseTransportName(text, '/')).toThrow(message);
  });
});
