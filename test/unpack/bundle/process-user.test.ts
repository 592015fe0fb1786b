import { describe, expect, it } from 'vitest';
import { type ProcessUser, resolveUser } from '../../../src/unpack/bundle/process-user.js';

const FILES = {
  '/etc/passwd': [
    'root:x:0:0:root:/root:/bin/sh',
    'app:x:1000:100::/home/app:/bin/sh',
    'app:x:2000:200::/home/second:/bin/sh',
    'bare:x:1001:101::',
    '42:x:1002:102::/home/named-42:',
    '3proxy:x:13:13::/:',
    'J\xc3\xbcrgen:x:1003:103::/home/J\xc3\xbcrgen:',
    'broken:x:zero:0::/:',
  ].join('\n'),
  '/etc/group': [
    'root:x:0:root',
    'users:x:100:',
    'staff:x:50:app,bare',
    'audio:x:29:ann,app',
    'audio:x:2929:app',
    'audio2:x:29:app',
    'almost:x:61:apple,ap',
    'numbers:x:62:1000,42',
    'proxies:x:63:3proxy',
    '77:x:7700:',
    'wheel:x:10:root',
  ].join('\n'),
} as const;

const ROOT = { uid: 0, gid: 0, additionalGids: [0, 10], home: '/root' };
const APP = { uid: 1000, gid: 100, additionalGids: [50, 29, 2929], home: '/home/app' };
const NOBODY = { uid: 9, gid: 0, additionalGids: [], home: undefined };

describe('Config.User', () => {
  it.each<[string, string, ProcessUser]>([
    ['not given: root, with its groups', '', ROOT],
    ['user: the first of two lines', 'app', APP],
    ['user without home', 'bare', { uid: 1001, gid: 101, additionalGids: [50], home: undefined }],
    ['user whose name begins with a digit', '3proxy', { uid: 13, gid: 13, additionalGids: [63], home: '/' }],
    ['user in UTF-8', 'Jürgen', { uid: 1003, gid: 103, additionalGids: [], home: '/home/Jürgen' }],
    ['uid: no additional groups', '1000', { ...APP, additionalGids: [] }],
    ['uid 0: no additional groups', '0', { ...ROOT, additionalGids: [] }],
    ['uid that nobody has', '9', NOBODY],
    ['uid that is also a name: a number', '42', { ...NOBODY, uid: 42 }],
    ['the largest uid', '4294967294', { ...NOBODY, uid: 4_294_967_294 }],
    ['user:group: no additional groups', 'app:staff', { ...APP, gid: 50, additionalGids: [] }],
    ['user:group, the first of two lines', 'app:audio', { ...APP, gid: 29, additionalGids: [] }],
    ['user:gid', 'app:7', { ...APP, gid: 7, additionalGids: [] }],
    ['uid:group', '1000:users', { ...APP, gid: 100, additionalGids: [] }],
    ['uid:group of nobody', '9:users', { ...NOBODY, gid: 100 }],
    ['uid:gid', '9:8', { ...NOBODY, gid: 8 }],
    ['uid:gid that are in the files', '1000:7', { ...APP, gid: 7, additionalGids: [] }],
    ['gid that is also a name: a number', '9:77', { ...NOBODY, gid: 77 }],
    ['a colon and no group', 'app:', APP],
    ['a group and no user: root', ':staff', { ...ROOT, gid: 50, additionalGids: [] }],
  ])('%s', (_, text, expected) => {
    expect(resolveUser(text, (path) => FILES[path])).toEqual(expected);
  });

  it.each<[string, string, string]>([
    ['a user that is not there', 'ghost', '/etc/passwd'],
    ['a user whose line is malformed', 'broken', '/etc/passwd'],
    ['a user in another case', 'APP', '/etc/passwd'],
    ['a name with a blank', 'app ', '/etc/passwd'],
    ['a comment for a name', '#app', '/etc/passwd'],
    ['a negative number', '-1', '/etc/passwd'],
    ['a signed number', '+0', '/etc/passwd'],
    ['a hexadecimal number', '0x0', '/etc/passwd'],
    ['a group that is not there', 'app:ghosts', '/etc/group'],
    ['a group that is not there, of a number', '0:ghosts', '/etc/group'],
    ['the uid that means none', '4294967295', 'too large'],
    ['a uid that would wrap around to root', '4294967296', 'too large'],
    ['a gid that would wrap around to root', '0:4294967296', 'too large'],
    ['three parts', 'app:staff:audio', 'more than'],
  ])('refuses %s', (_, text, fault) => {
    expect(() => resolveUser(text, (path) => FILES[path])).toThrow(
      expect.objectContaining({
        code: 'INVALID_MANIFEST',
        message: expect.stringContaining(fault) as string,
        details: { field: 'config.User' },
      }) as Error,
    );
  });

  it.each<[string, string, Partial<ProcessUser>]>([
    ['nobody is given', '', { uid: 0, gid: 0, additionalGids: [], home: undefined }],
    ['a number is given', '7', { uid: 7, gid: 0 }],
    ['two numbers are given', '7:8', { uid: 7, gid: 8 }],
  ])('needs no files when %s', (_, text, expected) => {
    expect(resolveUser(text, () => '')).toMatchObject(expected);
  });

  it('has no more groups than a process can', () => {
    const groups = (count: number): string =>
      Array.from({ length: count }, (_, i) => `g${i}:x:${i}:app`).join('\n');
    const resolve = (count: number): ProcessUser =>
      resolveUser('app', (path) => (path === '/etc/group' ? groups(count) : FILES[path]));
    expect(resolve(65_536).additionalGids).toHaveLength(65_536);
    expect(() => resolve(65_537)).toThrow(expect.objectContaining({ code: 'LIMIT_EXCEEDED' }) as Error);
  });
});
