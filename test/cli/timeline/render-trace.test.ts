import { describe, expect, it } from 'vitest';
import { renderTrace, type TraceEvent } from '../../../src/cli/timeline/render-trace.js';
import { RequestRecord } from '../../../src/cli/timeline/timeline-recorder.js';
import { traceFaults } from '../../support/trace-faults.js';
import { largePull, layerDigest, timelineOf, type ReportedPull } from './told-pull.js';

const APP = 'quay.io/team/app:1';

interface Trace {
  readonly displayTimeUnit: string;
  readonly otherData: Readonly<Record<string, string>>;
  readonly traceEvents: readonly TraceEvent[];
}

function traceOf(reported: readonly ReportedPull[], requests?: RequestRecord): Trace {
  return JSON.parse(renderTrace(timelineOf(...reported), requests?.all)) as Trace;
}

describe('a trace', () => {
  it.each<[string, ReportedPull[]]>([
    ['one image', [largePull(APP, 5)]],
    ['200 layers', [largePull(APP, 200)]],
    ['several images', [largePull(APP, 5), largePull('docker.io/library/debian:trixie', 9, { begun: 33.3 })]],
    ['a very short pull', [largePull(APP, 5, { scale: 0.0007 })]],
    [
      'one that failed',
      [
        {
          reference: APP,
          resolved: 10,
          manifests: 20,
          layers: [{ size: 9, downloading: 30, retries: [[40, 50]] }],
          failed: [60, 'failed', 'no'],
        },
      ],
    ],
    ['none that began', [{ reference: 'NOT A NAME', failed: [0, 'failed', 'no'] }]],
  ])('of %s is sound', (_, reported) => {
    expect(traceFaults(traceOf(reported).traceEvents)).toEqual([]);
  });

  it('has a process for each image, and tracks for each of its layers', () => {
    const { traceEvents } = traceOf([largePull(APP, 2), largePull('docker.io/library/debian:trixie', 1)]);
    const names = (name: string): unknown[] =>
      traceEvents.filter((event) => event.ph === 'M' && event.name === name).map(({ args }) => args['name']);
    expect(names('process_name')).toEqual([APP, 'docker.io/library/debian:trixie', 'network']);
    expect(names('thread_name').filter((name) => String(name).startsWith('layer 1'))).toHaveLength(4);
    expect(names('thread_name')).toContain(`layer 2 ${layerDigest(APP, 1).slice(7, 19)} unpack`);
  });

  it('tells what each span is about, in microseconds', () => {
    const { traceEvents, displayTimeUnit } = traceOf([
      {
        reference: APP,
        resolved: 1.5,
        manifests: 3,
        layers: [
          {
            size: 1000,
            downloading: 3.25,
            retries: [[4, 5]],
            here: 10.125,
            unpacking: 4,
            unpacked: 12,
            committed: 13,
          },
        ],
        done: 14,
      },
    ]);
    expect(displayTimeUnit).toBe('ms');
    const digest = layerDigest(APP, 0);
    expect(traceEvents.find(({ name, cat }) => name === 'download' && cat === 'layer')).toMatchObject({
      ph: 'X',
      ts: 3250,
      dur: 6875,
      args: { digest, size: 1000, bytes: 1000, retries: 1 },
    });
    expect(traceEvents.find(({ name }) => name === 'retrying')).toMatchObject({
      ts: 4000,
      dur: 1000,
      args: { digest },
    });
    expect(traceEvents.find(({ name }) => name === 'unpack')).toMatchObject({ ts: 4000, dur: 8000 });
  });

  it('has the requests beside each other, and says which host a layer came from', () => {
    let now = 0;
    const requests = new RequestRecord(() => now);
    const digest = layerDigest(APP, 0);
    const asked = (at: number, durationMs: number, url: string, status?: number): void => {
      now = at;
      requests.add({
        method: 'GET',
        url,
        host: new URL(url).host,
        attempt: 1,
        durationMs,
        ...(status === undefined ? { failure: 'ECONNRESET' } : { status }),
      });
    };
    asked(40, 30, `http://mirror.lan:5000/v2/team/app/blobs/${digest}`);
    asked(60, 40, `https://quay.io/v2/team/app/blobs/${digest}`, 200);
    asked(65, 30, 'https://quay.io/v2/team/app/blobs/other', 404);
    const { traceEvents } = traceOf([largePull(APP, 1)], requests);
    expect(traceFaults(traceEvents)).toEqual([]);
    const sent = traceEvents.filter(({ cat }) => cat === 'request');
    expect(sent.map(({ name, ts, dur, tid }) => [name, ts, dur, tid])).toEqual([
      ['GET ECONNRESET', 10_000, 30_000, 1],
      ['GET 200', 20_000, 40_000, 2],
      ['GET 404', 35_000, 30_000, 3],
    ]);
    const download = traceEvents.find(({ name, cat }) => name === 'download' && cat === 'layer');
    expect(download?.args['host']).toBe('quay.io');
  });

  it('says how it ended', () => {
    const { otherData, traceEvents } = traceOf([
      {
        reference: APP,
        resolved: 10,
        manifests: 20,
        layers: [{ size: 9, downloading: 30 }],
        failed: [60, 'interrupted', 'stopped'],
      },
    ]);
    expect(otherData).toMatchObject({ outcome: 'interrupted', error: 'stopped' });
    expect(otherData['program']).toMatch(/^landfall \d/);
    expect(traceEvents.find(({ cat }) => cat === 'pull')?.args).toMatchObject({ outcome: 'interrupted' });
    expect(traceEvents.find(({ name, cat }) => name === 'download' && cat === 'layer')?.args).toMatchObject({
      unfinished: true,
    });
  });

  it('counts the bytes per second', () => {
    const { traceEvents } = traceOf([largePull(APP, 3)]);
    const rates = traceEvents.filter(({ ph }) => ph === 'C');
    expect(rates.length).toBeGreaterThan(10);
    expect(rates.at(-1)?.args).toEqual({ rate: 0 });
  });
});
