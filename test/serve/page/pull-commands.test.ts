import { describe, expect, it } from 'vitest';

import { commandList, pullCommands, serverAddress } from '../../../src/serve/page/pull-commands.js';
import { parseReference } from '../../../src/spec/index.js';

describe('the commands that pull an image', () => {
  it.each([
    ['docker.io/library/nginx:1', 'mirror.lan:5000', 'mirror.lan:5000/nginx:1'],
    ['docker.io/team/app:1', 'mirror.lan', 'mirror.lan/team/app:1'],
    ['quay.io/team/app:1', '[::1]:5000', '[::1]:5000/quay.io/team/app:1'],
  ])('name %s at %s as %s', (name, host, here) => {
    const commands = pullCommands(parseReference(name), serverAddress(host, true));
    expect(commands).toEqual([`landfall pull ${here}`, `docker pull ${here}`, `crictl pull ${here}`]);
  });

  it('say that there is no TLS, but on this machine', () => {
    const nginx = parseReference('nginx:1');
    expect(pullCommands(nginx, serverAddress('mirror.lan:5000', false))[0]).toBe(
      'landfall pull --plain-http mirror.lan:5000/nginx:1',
    );
    expect(pullCommands(nginx, serverAddress('127.0.0.1:5000', false))[0]).toBe(
      'landfall pull 127.0.0.1:5000/nginx:1',
    );
  });

  it('are not there for a name that no path can hold, which needs a hosts.toml', () => {
    const reference = parseReference('reg.lan:5000/team/app:1');
    const address = serverAddress('mirror.lan', true);
    expect(pullCommands(reference, address)).toEqual([]);
    const list = commandList(reference, address).toString();
    expect(list).toContain('hosts.toml');
    expect(list).toContain('landfall pull reg.lan:5000/team/app:1');
  });

  it.each([
    undefined,
    '',
    '"><script>',
    'a b',
    'x;rm -rf ~',
    '$(id)',
    'a/b',
    'host:123456',
    '-oops',
    'a'.repeat(300),
  ])('do not repeat a host that is %j', (header) => {
    expect(serverAddress(header, true).host).toBe('MIRROR');
  });
});
