import { describe, expect, it } from 'vitest';

import { daemonUsage, parseCpuSeconds, parsePeakBytes } from '../../bench/daemon-usage.js';

/** /proc/PID/stat of a program of this name with these times, in ticks. */
function stat(name: string, utime: number, stime: number, cutime: number, cstime: number): string {
  return `4242 (${name}) S 1 4242 4242 0 -1 4194560 13 14 15 16 ${utime} ${stime} ${cutime} ${cstime} 20 0 9 0 77 1 2 3\n`;
}

describe('the processor time of /proc/PID/stat', () => {
  it.each([
    ['its own and its children’s', stat('containerd', 100, 20, 3000, 7), 31.27],
    ['of a program with blanks and parentheses in its name', stat('a) S 1 (b', 1, 2, 3, 4), 0.1],
  ])('is %s', (_name, text, seconds) => {
    expect(parseCpuSeconds(text)).toBeCloseTo(seconds, 6);
  });

  it.each([
    ['is empty', ''],
    ['is cut off', '4242 (x) S 1 4242 4242 0 -1 4194560 13 14 15 16 5'],
    ['has words for numbers', stat('x', NaN, 1, 1, 1)],
  ])('is not read from what %s', (_name, text) => {
    expect(() => parseCpuSeconds(text)).toThrow('/proc/PID/stat');
  });
});

describe('the most memory of /proc/PID/status', () => {
  it('is VmHWM, in bytes', () => {
    expect(parsePeakBytes('Name:\tx\nVmPeak:\t  999 kB\nVmHWM:\t   75612 kB\nVmRSS:\t 5 kB\n')).toBe(
      75612 * 1024,
    );
  });

  it('is not there for a process without memory of its own', () => {
    expect(() => parsePeakBytes('Name:\tkthreadd\n')).toThrow('VmHWM');
  });
});

describe('this process', () => {
  it('has used some of both', async () => {
    const { cpuSeconds, peakBytes } = await daemonUsage(process.pid);
    expect(cpuSeconds).toBeGreaterThan(0);
    expect(peakBytes).toBeGreaterThanOrEqual(10e6);
  });
});
