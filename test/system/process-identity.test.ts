import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { isDead, processIdentity } from '../../src/system/index.js';

describe('the identity of a process', () => {
  const [boot = '', namespace = '', pid = '', started = ''] = processIdentity().split(' ');

  it('is that of a living process, and stays', () => {
    expect(pid).toBe(String(process.pid));
    expect(processIdentity()).toBe(`${boot} ${namespace} ${pid} ${started}`);
    expect(isDead(processIdentity())).toBe(false);
  });

  it('tells when the process has ended, and when another has its number', async () => {
    const child = spawn('true');
    await once(child, 'exit');
    expect(isDead(`${boot} ${namespace} ${child.pid ?? 0} 1`)).toBe(true);
    expect(isDead(`${boot} ${namespace} ${pid} ${Number(started) - 1}`)).toBe(true);
  });

  it.each([
    ['nobody', ''],
    ['something else', 'x'],
    ['a process of another boot', `other ${namespace} 4194304 1`],
    ['a process of another namespace', `${boot} pid:[1] 4194304 1`],
  ])('knows nothing of %s', (_, identity) => {
    expect(isDead(identity)).toBe(false);
  });
});
