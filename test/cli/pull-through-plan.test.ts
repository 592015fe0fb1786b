import { describe, expect, it } from 'vitest';

import { type PullThroughFlags, pullThroughPlan } from '../../src/cli/commands/serve-plan.js';

describe('where a server is filled from', () => {
  it.each<[string, PullThroughFlags, object | undefined]>([
    ['nowhere by default', {}, undefined],
    ['docker.io', { pullThrough: true }, { upstreams: ['docker.io'], ttlMs: 60_000 }],
    [
      'where it is told to be, each once',
      { pullThrough: true, upstream: ['quay.io', 'index.docker.io', 'quay.io'], pullThroughTtl: '1h' },
      { upstreams: ['quay.io', 'docker.io'], ttlMs: 3_600_000 },
    ],
    ['nowhere to print hosts', { printHosts: true, upstream: ['quay.io'], advertise: 'a:1' }, undefined],
  ])('is %s', (_what, flags, plan) => {
    expect(pullThroughPlan(undefined, flags)).toEqual(plan);
  });

  it.each<[string, string | undefined, PullThroughFlags, RegExp]>([
    ['a layout', 'oci:dir', { pullThrough: true }, /oci:dir can only be read/],
    ['upstreams alone', undefined, { upstream: ['quay.io'] }, /--upstream needs --pull-through/],
    ['a time alone', undefined, { pullThroughTtl: '1m' }, /--pull-through-ttl needs --pull-through/],
    ['an address alone', undefined, { advertise: 'a:1' }, /--advertise needs --print-hosts/],
    ['no duration', undefined, { pullThrough: true, pullThroughTtl: 'soon' }, /is not a duration/],
    ['no registry', undefined, { pullThrough: true, upstream: ['hub'] }, /is not a registry/],
    ['no registry to print', undefined, { printHosts: true, upstream: ['hub'] }, /is not a registry/],
  ])('is not %s', (_what, source, flags, message) => {
    expect(() => pullThroughPlan(source, flags)).toThrow(message);
  });
});
