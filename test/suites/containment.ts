import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { FormName } from '../support/layer-case.js';
import { Sentinel, SENTINEL_CONTENT } from '../support/sentinel.js';
import { archive } from '../support/tar-builder.js';
import type { TreeListing } from '../support/tree-lister.js';
import { openForm, type UnpackedForm } from '../support/unpacked-forms.js';
import { ONE_LAYER } from './escapes/one-layer.js';
import { SEVERAL_LAYERS } from './escapes/several-layers.js';

/** Far more than any directory that a layer is unpacked in has above it. */
const UP = '../'.repeat(40);

/** What a store or a directory to unpack in has at its top; nothing else may appear there. */
const OWN_NAMES = /^(?:blob-.*|metadata\.db.*|snapshots|trees)$/;

/** Every escape, over one form of what is unpacked, as the engine unpacks it. */
export function containmentSuite(name: FormName): void {
  describe(`escapes from layers as ${name}`, () => {
    let form: UnpackedForm;
    let place: string;
    beforeAll(async () => {
      form = await openForm(name);
      place = mkdtempSync(join(tmpdir(), 'landfall-outside-'));
    });
    afterAll(async () => {
      await form[Symbol.asyncDispose]();
      rmSync(place, { recursive: true });
    });

    let count = 0;
    test.each([...ONE_LAYER, ...SEVERAL_LAYERS])('$name', async ({ layers, code }) => {
      const sentinel = new Sentinel(join(place, String(count++)));
      const { directory } = sentinel;
      const archives = layers(directory, `${UP}${directory.slice(1)}`).map((parts) => archive(...parts));
      const unpacking = form.unpack(archives);
      if (code === undefined) expect(takenFromOutside((await unpacking).listing)).toEqual([]);
      else await expect(unpacking).rejects.toMatchObject({ code });
      expect(sentinel.damage()).toEqual([]);
      expect(readdirSync(form.root).filter((entry) => !OWN_NAMES.test(entry))).toEqual([]);
    });
  });
}

function takenFromOutside(listing: TreeListing): string[] {
  return Object.keys(listing).filter((path) => listing[path]?.content === SENTINEL_CONTENT);
}
