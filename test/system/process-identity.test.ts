import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it, vi } from 'vitest';
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

  it('does not take for dead what /proc does not show', () => {
    const hidden = `${boot} ${namespace} 4194304 1`;
    const kill = vi.spyOn(process, 'kill');
    for (const [code, dead] of [
      ['ESRCH', true],
      ['EPERM', false],
    ] as const) {
      kill.mockImplementation(() => {
        throw Object.assign(new Error(code), { code });
      });
      expect(isDead(hidden)).toBe(dead);
    }
    kill.mockReturnValue(true);
    expect(isDead(hidden)).toBe(false);
    kill.mockRestore();
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
