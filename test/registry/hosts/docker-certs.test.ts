import { expect, it } from 'vitest';

import { dockerCerts } from '../../../src/registry/hosts/hosts-directory.js';

const in_ = (name: string): string => `/certs.d/reg.lan/${name}`;

it.each<[name: string, files: string[], ca: string[], client: [cert: string, key: string][]]>([
  ['nothing in an empty directory', [], [], []],
  ['an authority', ['ca.crt'], ['ca.crt'], []],
  ['authorities by their names', ['b.crt', 'a.crt'], ['a.crt', 'b.crt'], []],
  ['an authority and a client', ['ca.crt', 'c.cert', 'c.key'], ['ca.crt'], [['c.cert', 'c.key']]],
  ['a client alone', ['c.key', 'c.cert'], [], [['c.cert', 'c.key']]],
  ['a client whose key lies in its own file', ['c.cert', 'd.key'], [], [['c.cert', 'c.cert']]],
  [
    'several clients',
    ['b.cert', 'b.key', 'a.cert', 'a.key'],
    [],
    [
      ['a.cert', 'a.key'],
      ['b.cert', 'b.key'],
    ],
  ],
  ['a name with more dots', ['a.b.cert', 'a.b.key', 'a.key'], [], [['a.b.cert', 'a.b.key']]],
  ['nothing in other files', ['hosts.toml', 'ca.pem', 'ca.crt.old', 'c.key', 'crt'], [], []],
])('finds %s', (_name, files, ca, client) => {
  expect(dockerCerts('/certs.d/reg.lan', files)).toEqual({
    ca: ca.map(in_),
    client: client.map(([cert, key]) => ({ cert: in_(cert), key: in_(key) })),
  });
});
