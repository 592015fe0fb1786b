import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  describeLinks,
  describeTree,
  type FormName,
  IMPLIED,
  type LayerCase,
  isAboutPrivileges,
  withFixedTimes,
  withoutPrivileges,
  withoutTrusted,
} from '../support/layer-case.js';
import { isRoot } from '../support/needs-root.js';
import { archive, pax } from '../support/tar-builder.js';
import { openForm, type UnpackedForm } from '../support/unpacked-forms.js';
import { ATTRIBUTE_CASES } from './layer-cases/attributes.js';
import { LINK_CASES } from './layer-cases/links.js';
import { PATH_CASES } from './layer-cases/paths.js';
import { TYPE_CASES } from './layer-cases/types.js';
import { WHITEOUT_CASES } from './layer-cases/whiteouts.js';

const GROUPS = {
  types: TYPE_CASES,
  attributes: ATTRIBUTE_CASES,
  whiteouts: WHITEOUT_CASES,
  'hard links': LINK_CASES,
  paths: PATH_CASES,
};

/** image-spec layer.md, case by case, over one form of what is unpacked. */
export function layerSemanticsSuite(name: FormName): void {
  describe(`layers as ${name}`, () => {
    let form: UnpackedForm;
    // Earlier than all that is made here; file systems keep times by the kernel's ticks.
    const since = Math.floor(Date.now() / 1000) - 1;
    beforeAll(async () => {
      form = await openForm(name);
    });
    afterAll(() => form[Symbol.asyncDispose]());

    for (const [group, cases] of Object.entries(GROUPS)) {
      test.each(cases)(`${group}: $name`, (row) => check(form, name, row, since));
    }
  });
}

async function check(form: UnpackedForm, name: FormName, given: LayerCase, since: number): Promise<void> {
  const row = name === 'exported' ? { ...given, ...given.exported } : given;
  // A record that nobody reads makes the case's layers its own, so that none is there already.
  const mark = pax({ comment: row.name }, 'g');
  const unpacking = form.unpack(row.layers.map((parts) => archive(mark, ...parts)));
  if (row.code !== undefined) {
    await expect(unpacking).rejects.toMatchObject({ code: row.code });
    return;
  }
  const { listing, warnings, omitted } = await unpacking;
  const whole: Readonly<Record<string, string>> = { '': IMPLIED, ...row.tree };
  expect(describeTree(listing, since)).toEqual(expectedTree(name, whole));
  const same = (name === 'overlay' || name === 'userxattr' ? row.sameInOverlay : undefined) ?? row.same ?? [];
  const shown = same
    .map((group) => group.filter((path) => path in listing).sort())
    .filter(({ length }) => length > 1);
  expect(describeLinks(listing)).toEqual(expect.arrayContaining(shown));
  expect(describeLinks(listing)).toHaveLength(shown.length);
  checkWarnings(row, warnings);
  const devices = Object.keys(whole).filter((path) => /^(?:char|block) /.test(whole[path] ?? ''));
  if (!isRoot && name !== 'exported') expect(omitted).toEqual(expect.arrayContaining(devices));
  else expect(omitted).toEqual([]);
}

function expectedTree(name: FormName, tree: Readonly<Record<string, string>>): Record<string, string> {
  if (name === 'exported') return withFixedTimes(tree);
  if (!isRoot) return withoutPrivileges(tree);
  return name === 'userxattr' ? withoutTrusted(tree) : { ...tree };
}

function checkWarnings(row: LayerCase, warnings: readonly string[]): void {
  const left = isRoot ? [...warnings] : warnings.filter((warning) => !isAboutPrivileges(warning));
  for (const pattern of row.warnings ?? []) {
    const at = left.findIndex((warning) => pattern.test(warning));
    expect(at, `no warning like ${String(pattern)} among ${JSON.stringify(left)}`).toBeGreaterThanOrEqual(0);
    left.splice(at, 1);
  }
  expect(left).toEqual([]);
}
