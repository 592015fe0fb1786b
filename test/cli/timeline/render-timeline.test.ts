import { describe, expect, it } from 'vitest';
import { renderTimeline } from '../../../src/cli/timeline/render-timeline.js';
import { largePull, timelineOf, type ReportedPull } from './told-pull.js';

const APP = 'quay.io/team/app:1';
const HOSTILE = `x.io/"><script>alert(1)</script>&amp;\u0000\u202e\uFFFE'`;

function pictureOf(...reported: readonly ReportedPull[]): string {
  return renderTimeline(timelineOf(...reported));
}

describe('a picture', () => {
  it('needs nothing else: no script, no address but the name of its language', () => {
    const picture = pictureOf(largePull(APP, 20));
    expect(picture.match(/https?:[^"]*/g)).toEqual(['http://www.w3.org/2000/svg']);
    expect(picture).not.toMatch(/<script|<foreignObject|<image|@import|url\(|\son\w+=/i);
  });

  it('does nothing that a name or an error says', () => {
    const picture = pictureOf({ reference: HOSTILE, failed: [10, 'failed', HOSTILE] });
    expect(picture).not.toContain('<script');
    expect(picture).toContain('&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;');
    // eslint-disable-next-line no-control-regex -- it is about controls
    expect(picture).not.toMatch(/[\u0000-\u0008\u202e\uFFFE]/);
  });

  it.each<[string, ReportedPull]>([
    ['no layer', { reference: APP, failed: [0, 'failed', 'no'] }],
    ['200 layers', largePull(APP, 200)],
    ['microseconds', largePull(APP, 5, { scale: 0.0001 })],
    ['days', largePull(APP, 5, { scale: 500_000 })],
  ])('of %s has numbers only where numbers are to be', (_, reported) => {
    expect(pictureOf(reported)).not.toMatch(/NaN|Infinity|undefined|="-\d/);
  });

  it('has a line for each layer that something was done for, and one for those in a row that were here', () => {
    const present = { size: 1000, present: 20, reused: 20 };
    const fresh = { size: 1000, downloading: 30, here: 60, unpacking: 40, unpacked: 70, committed: 80 };
    const picture = pictureOf({
      reference: APP,
      resolved: 10,
      manifests: 20,
      layers: [present, present, present, fresh, present, fresh],
      done: 90,
    });
    expect(picture).toContain('>layers 1 to 3<');
    expect(picture).toContain('>layer 5<');
    expect(picture.match(/class="digest"/g)).toHaveLength(2);
  });

  it('leaves out of very many layers those that took least', () => {
    const picture = pictureOf(largePull(APP, 4000));
    expect(picture).toMatch(/>and \d+ more layers</);
    expect(picture.match(/class="digest"/g)?.length).toBeLessThan(1500);
    // The large one.
    expect(picture).toContain(`>1334<`);
  });

  it('says in a tooltip what each step was', () => {
    expect(pictureOf(largePull(APP, 3))).toMatch(
      /<title>layer 2 \([0-9a-f]{12}\): downloaded, 1\.8 s, 36\.0 MB, 20\.0 MB\/s; from 60 ms to 1\.9 s<\/title>/,
    );
  });

  it('is whole where a pull was interrupted', () => {
    const picture = pictureOf({
      reference: APP,
      resolved: 10,
      manifests: 20,
      layers: [{ size: 1000, downloading: 30, unpacking: 40 }],
      failed: [90, 'interrupted', 'The pull was interrupted; partial downloads are kept.'],
    });
    expect(picture).toContain('>Interrupted after 90 ms, of which 60 ms were spent downloading layer 1<');
    expect(picture).toContain('>unfinished<');
    expect(picture).toContain('class="download open"');
  });
});
