import { describe, expect, it } from 'vitest';
import {
  type Account,
  type Group,
  parseGroup,
  parsePasswd,
} from '../../../src/unpack/bundle/process-user.js';

const APP: Account = { name: 'app', uid: 1000, gid: 100, home: '/home/app' };
const LINE = 'app:x:1000:100:The app,,,:/home/app:/bin/sh';

describe('/etc/passwd', () => {
  it.each<[string, string, readonly Partial<Account>[]]>([
    ['a line', `${LINE}\n`, [APP]],
    ['a last line without its end', LINE, [APP]],
    ['nothing', '', []],
    ['several lines, in their order', `root:x:0:0:root:/root:/bin/sh\n${LINE}\n`, [{ name: 'root' }, APP]],
    ['empty lines and blanks', `\n\n  \n${LINE}\n\n`, [APP]],
    ['blanks before a line', ` \t${LINE}\n`, [APP]],
    ['a comment', `# who is who\n#${LINE}\n${LINE}`, [APP]],
    ['a line without what follows the IDs', 'app:x:1000:100', [{ ...APP, home: '' }]],
    ['a line without its home', 'app:x:1000:100::', [{ ...APP, home: '' }]],
    ['a line with too many fields', `${LINE}:and:more`, [APP]],
    ['an empty password', 'app::1000:100:::', [{ ...APP, home: '' }]],
    ['no group', 'app:x:1000', []],
    ['no user ID', 'app:x::100::/:', []],
    ['a user ID that is a word', 'app:x:root:0::/:', []],
    ['a user ID that only begins as a number', 'app:x:0x3e8:100::/:', []],
    ['a negative user ID', 'app:x:-1:100::/:', []],
    ['a signed user ID', 'app:x:+5:100::/:', []],
    ['a user ID with blanks', 'app:x: 5:100::/:', []],
    ['the largest user ID', 'app:x:4294967294:100::/home/app:', [{ ...APP, uid: 4_294_967_294 }]],
    ['the user ID that means none', 'app:x:4294967295:100::/:', []],
    ['a user ID that would wrap around to root', 'app:x:4294967296:100::/:', []],
    ['a user ID of 300 digits', `app:x:${'9'.repeat(300)}:100::/:`, []],
    ['a group ID that is a word', 'app:x:1000:users::/:', []],
    ['no name', ':x:0:0::/:', []],
    ['lines for a directory of a network', '+\n+::::::\n+app:x:1000:100::/:\n-app:x:1000:100::/:', []],
    ['a NUL', `app\0:x:1000:100::/:\n${LINE}`, [APP]],
    ['a name that is not UTF-8', '\xe9\xff:x:1000:100::/home/app:', [{ ...APP, name: '\xe9\xff' }]],
    ['a line of a million bytes', `${'x'.repeat(1_000_000)}\n${LINE}`, [APP]],
    ['a million line ends', `${'\n'.repeat(1_000_000)}${LINE}`, [APP]],
  ])('with %s', (_, text, expected) => {
    const found = [...parsePasswd(text)];
    expect(found).toHaveLength(expected.length);
    expect(found).toMatchObject(expected);
  });
});

describe('/etc/group', () => {
  it.each<[string, string, readonly Group[]]>([
    ['a line', 'staff:x:50:app,ann\n', [{ name: 'staff', gid: 50, members: ['app', 'ann'] }]],
    ['a group without members', 'staff:x:50:', [{ name: 'staff', gid: 50, members: [''] }]],
    ['a line without its list', 'staff:x:50', [{ name: 'staff', gid: 50, members: [''] }]],
    ['blanks in a list', 'staff:x:50: app , ann', [{ name: 'staff', gid: 50, members: ['app', 'ann'] }]],
    ['a comment', '# staff:x:50:app', []],
    ['a group ID that is a word', 'staff:x:fifty:app', []],
    ['no group ID', 'staff:x::app', []],
    ['a group ID that would wrap around to root', 'staff:x:4294967296:app', []],
    ['no name', ':x:50:app', []],
    ['a directory of a network', '+:::\n+staff:x:50:app', []],
  ])('with %s', (_, text, expected) => {
    expect([...parseGroup(text)]).toEqual(expected);
  });
});
